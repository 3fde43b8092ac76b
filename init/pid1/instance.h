#pragma once
/*
 * What PID 1 knows in managed mode. There is one of it, in managed.c, of fixed size: after start
 * nothing is allocated. The modules beside it work on it and call each other by these rules:
 *
 *   managed.c   the poll loop; signals; timers            -> all
 *   boot.c      the one run of holdfast-boot              -> pack, keeper, shutdown
 *   channel.c   packets of boot and of the supervisor     -> (store)
 *   pack.c      makes what the store holds                -> (store)
 *   keeper.c    the daemons: start, death, start again    -> child, channel
 *   reap.c      zombies: to the keeper, to the journal, or away -> boot, keeper, shutdown
 *   shutdown.c  the end                                   -> child, keeper
 *   child.c     fork and exec of one of our own programs
 *   room.c      where PID 1 is after boot, and the way back for its forks
 *   host.c      what only the init of a machine does
 *   watchdog.c  feeds the machine's watchdog, and asks the supervisor before
 *   detach.c    file systems and devices, before a machine ends
 *   panic.c     the last line of a PID 1 that crashes
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/options.h"
#include "lib/board.h"
#include "lib/event.h"
#include "lib/journal.h"
#include "lib/machine.h"
#include "lib/plan.h"
#include "lib/proto.h"
#include "lib/room.h"
#include "lib/store.h"

#define DEATHS_MAX 5 /* this many within DEATHS_WINDOW_US and a daemon cannot be kept alive */

/* One of our own programs, by role. */
struct child {
	pid_t pid; /* 0: does not run */
	uint64_t started_us;
	uint64_t respawn_us;		/* when it is to be started again; USEC_INFINITY: never */
	uint64_t delay_us;		/* before the next start again */
	uint64_t deaths_us[DEATHS_MAX]; /* a ring of the last ones */
	uint32_t n_deaths;
};

enum timer {
	TIMER_HUNG,	/* has the supervisor applied anything? */
	TIMER_REAP,	/* look at the zombies again: the journal was full */
	TIMER_DUMP,	/* the dump takes too long */
	TIMER_STOP,	/* the stop budget is used up, whatever the supervisor does */
	TIMER_STOPPED,	/* the supervisor has stopped everything, and yet does not exit */
	TIMER_WATCHDOG, /* the machine's watchdog is to be fed */
	TIMER_BOOT,	/* boot takes too long */
	TIMER_STAGE,	/* the present stage of the end has had its time */
	TIMER_COUNT
};

/* The end, in order. Each one ends when nothing is left for it to wait for, or by TIMER_STAGE. */
enum stage {
	STAGE_NONE,    /* not ending */
	STAGE_TERM,    /* whatever is left but log was asked to go */
	STAGE_KILL,    /* and is killed */
	STAGE_LOG,     /* log writes out what it has */
	STAGE_DUMP,    /* the dump is written */
	STAGE_UNMOUNT, /* on a host: file systems are made safe */
	STAGE_DONE,
	STAGE_COUNT
};

/* How the supervisor's or boot's channel stands. */
struct channel {
	int fd; /* ours; -EBADF: none */
	enum role sender;
	bool has_greeted;
	bool is_booted;	    /* PROTO_BOOTED came */
	int failed_status;  /* of PROTO_FAILED; 0: none came */
	uint64_t budget_us; /* of PROTO_BOOTED */
};

struct instance {
	const struct options *options;
	bool is_pid1; /* of its PID namespace; else a subreaper */
	bool is_host; /* from STAGE_TERM on: PID 1 of the machine, whose end is ours */
	bool is_up;   /* boot is over, plan and board and journal are mapped */

	struct store_table *store;
	struct plan plan;
	struct board board;
	struct journal *journal;
	struct child children[ROLE_COUNT]; /* ROLE_INIT: our own fork that unmounts */
	struct channel channel;
	uint32_t n_unit_pipes; /* streams of units that have a pipe: those below this number */
	enum event_format event_format; /* of what goes to the stderr that we were given */

	int signal_fd, null_fd, error_fd; /* error_fd: the stderr that we were given */
	int event_journal, event_phase, event_ask, event_answer; /* borrowed from the store */
	uint64_t timers[TIMER_COUNT]; /* when they fire; USEC_INFINITY: not armed */

	struct {
		int fd;		/* borrowed from the store; -EBADF: none */
		uint32_t end_s; /* its timeout from the last step on; 0: as it is */
		uint64_t interval_us;
		bool was_asked;	  /* the supervisor, the last time */
		uint64_t answers; /* of it until then */
	} watchdog;

	struct room room; /* that we are in, once is_up; its fds are the store's */

	uint64_t seen_cursor; /* of the journal, when TIMER_HUNG was armed */
	uint64_t stop_budget_us;
	uint32_t n_stops; /* how often a stop was asked for */

	bool is_button_pressed;
	enum failed_boot failed_boot; /* FailedBoot=, once boot has read it */
	enum machine_end end;	      /* on a host: what was asked for, or follows from the end */
	pid_t watcher;		      /* ends the machine when we do not; 0: none */

	char cause[PROTO_TEXT_MAX]; /* why boot refused; empty: the board knows */
	enum stage stage;
	int status;	   /* that we shall exit with */
	bool wants_dump;   /* before we do */
	uint64_t grace_us; /* of STAGE_TERM */
};
