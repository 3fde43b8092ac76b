#pragma once
/*
 * Deadlines: the units' and what is to be looked at again.
 */
#include "supervisor/manager.h"

/* Everything whose time has come. */
void timers_check(struct manager *manager, uint64_t now_us);
/* The time of the next thing, or USEC_INFINITY. */
uint64_t timers_next(const struct manager *manager);
