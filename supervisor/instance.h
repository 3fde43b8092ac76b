#pragma once
/*
 * The instance as a whole: starting, running, draining, stopping, stopped. There is one stop
 * budget; what is left of it clips the units' own time limits, and its last part is kept for KILL
 * and the dump (design, section 3).
 */
#include "supervisor/manager.h"

/* Starts the first time: wants what the plan wants. */
void instance_begin(struct manager *manager);
/* Has PID 1 look at the phase: a predecessor may have died before it could. */
void instance_tell_phase(const struct manager *manager);
/* A signal that PID 1 journalled. */
void instance_apply_signal(struct manager *manager, const struct journal_entry *entry);
/* Derives the phase: startup complete, an essential unit ended, everything down. */
void instance_settle(struct manager *manager);
void instance_check_time(struct manager *manager, uint64_t now_us);
