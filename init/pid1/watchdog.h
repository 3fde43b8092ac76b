#pragma once
/*
 * The machine's watchdog: hardware, or the hypervisor's, that resets the machine when nobody feeds it.
 */
#include "init/pid1/instance.h"

/* Boot has armed it (STORE_WATCHDOG). end_s: its timeout from the last step of the end on, in seconds;
 * 0: as it is. */
void watchdog_start(struct instance *in, uint32_t end_s);

/* TIMER_WATCHDOG. */
void watchdog_feed(struct instance *in);

/* The machine ends: a last time, with the timeout for that. It stays armed. */
void watchdog_leave(const struct instance *in);
