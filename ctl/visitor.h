#pragma once
/*
 * holdfastctl as holdfast-gate sees it. The gate lets it in because it executes that one file; but whose
 * program may be looked at is for the kernel to decide, and one with another user, or with more rights
 * than PID 1 has, cannot be told from an intruder: it would be killed, or end the instance with it.
 */

/* Becomes somebody whom the gate can see, by giving up rights. CTL_OK, also where there is no gate; else,
 * having said so, the status to exit with, at once: the gate gives it 50 ms. */
int visitor_settle(const char *directory);
