#pragma once
/*
 * The end: whatever is left is asked to go, then killed; log writes out what it has; where something
 * failed for good the dump is written; on a host file systems are made safe; then we exit. Every stage has its deadline, so that neither a
 * process in uninterruptible sleep nor a reader that does not read can keep the instance.
 */
#include "init/pid1/instance.h"

#define STATUS_INTERNAL 70
#define STATUS_CANNOT	71 /* a promise that cannot be kept here */
#define STATUS_KILLED	137

/* Begins it, unless it has begun: what is left gets grace_us between TERM and KILL. */
void shutdown_begin(struct instance *in, int status, uint64_t grace_us);

/* The supervisor has stopped all units: its status is on the board. */
void shutdown_by_board(struct instance *in);

/* A daemon cannot be kept alive; code and status: of its last death, as in siginfo. */
void shutdown_give_up(struct instance *in, enum role role, int code, int status);

/* Somebody is inside whom nobody here can kill: our end ends them, so nothing is waited for. */
void shutdown_by_intruder(struct instance *in);

/* TIMER_STOP: the stop budget is used up. */
void shutdown_at_deadline(struct instance *in);

/* Goes on to the next stage when there is nothing left to wait for, or is_late. */
void shutdown_advance(struct instance *in, bool is_late);

/* Writes the dump to the stdout that we were given, unless one is being written. */
void shutdown_dump(struct instance *in, uint64_t timeout_us);
/* TIMER_DUMP. */
void shutdown_end_dump(struct instance *in);
