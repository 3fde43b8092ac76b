#pragma once
/*
 * The keeper of the daemons: log, health, gate and the supervisor are started, and started again from the
 * same fds when they die, until the instance ends.
 */
#include "init/pid1/instance.h"

/* Starts what this instance has: health only where there is an address to listen on, the gate only
 * where we are the init of a PID namespace. */
void keeper_start(struct instance *in);

/* What the end of one of our programs means for the instance: whoever noted it acts on it. */
enum keeper_verdict {
	KEEPER_GOES_ON,
	KEEPER_IS_OVER,	 /* the supervisor has stopped all units: its status is on the board */
	KEEPER_HOPELESS, /* a daemon that is needed cannot be kept alive */
	KEEPER_UNSAFE,	 /* somebody got in whom the gate cannot kill: the end, at once */
};

/* One of our own programs has ended; it is reaped. Boot and the dump are not kept, only noted. */
enum keeper_verdict keeper_note_end(struct instance *in, enum role role, int code, int status);

/* Starts what is due at now_us. */
void keeper_start_due(struct instance *in, uint64_t now_us);
/* When the next one is due; USEC_INFINITY: none. */
uint64_t keeper_next_due(const struct instance *in);
/* Nothing but log is started any more. */
void keeper_stop(struct instance *in);
/* Nor log: it is told to write out what it has and to end. */
void keeper_end_log(struct instance *in);

/* The journal grew: the supervisor has HUNG_US to apply something of it. */
void keeper_watch(struct instance *in);
/* TIMER_HUNG. */
void keeper_check_hung(struct instance *in);

/* When a child that died at now_us is to be started again: fills in respawn_us and the rest. True
 * when it died too often to be worth it. Pure, for the tests. */
bool keeper_count_death(struct child *child, uint64_t now_us);
