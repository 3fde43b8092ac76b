#pragma once
/*
 * Getting a unit's secrets: one holdfast-secrets a unit, a request on its stdin, and the memory file
 * that it fills as its stdout. The supervisor makes that file and puts it into PID 1's store before
 * the helper runs, so that its own death loses nothing; it never maps or reads it.
 */
#include <stdint.h>

struct manager;

/* 0 with the helper in SLOT_HELPER, -EAGAIN when PID 1's channel is full (try again), or -errno. */
int fetch_begin(struct manager *manager, uint32_t unit);
