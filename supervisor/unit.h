#pragma once
/*
 * The life of a unit as one pure table, state × event -> state, and what entering each state means.
 *
 * There are no guards in the table: a question ("is a restart wanted?") is answered by whoever
 * raises the event, and the answer is the event's name. A cell that is left out is illegal.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/board.h"
#include "lib/plan.h"

#define UNIT_EVENTS(X)                                                                           \
	X(START, "start")	      /* wanted, and everything it waits for is there */         \
	X(SKIP, "skip")		      /* wanted, but a condition does not hold */                \
	X(REFUSE, "refuse")	      /* wanted, but an assertion, a dependency or the limit */  \
	X(NEXT, "next")		      /* a command ended well and another one follows */         \
	X(DONE, "done")		      /* the state's work is complete */                         \
	X(DONE_EXITED, "done-exited") /* … no process is left, and the unit remains */         \
	X(DONE_OVER, "done-over")     /* … no process is left, and the unit does not remain */ \
	X(FAIL, "fail")		      /* the state's work failed */                              \
	X(MAIN_OK, "main-ok")	      /* the main process ended as it may */                     \
	X(MAIN_REMAIN, "main-remain") /* … and the unit remains */                             \
	X(MAIN_FAIL, "main-fail")     /* the main process ended as it may not */                 \
	X(WATCHDOG, "watchdog")	      /* no WATCHDOG=1 in time */                                \
	X(TIMEOUT, "timeout")	      /* the state's deadline has passed */                      \
	X(STOP, "stop")		      /* not wanted any more */                                  \
	X(EMPTY, "empty")	      /* no process of the unit is left */                       \
	X(END_CLEAN, "end-clean")     /* … and that was its end */                             \
	X(END_FAILED, "end-failed")   /* … and that was its end, a failure */                  \
	X(END_RESTART, "end-restart") /* … and it is to be started again */                    \
	X(END_AGAIN, "end-again")     /* … and its goal is still up: held down by another unit */

enum unit_event {
#define X(id, name) EVENT_UNIT_##id,
	UNIT_EVENTS(X)
#undef X
		UNIT_EVENT_COUNT
};
/* In an int that may hold one. */
#define NO_EVENT (-1)

extern const char *const unit_event_names[UNIT_EVENT_COUNT];

/* In place of an event: something is still waited for. */
#define NO_EVENT (-1)

/* The next state, or -1 where the table has no cell. */
int unit_next(enum unit_state state, enum unit_event event);

/* Whose time limit holds in a state. */
enum unit_limit {
	LIMIT_NONE,
	LIMIT_FETCH,
	LIMIT_START,
	LIMIT_STOP,
	LIMIT_ABORT,
	LIMIT_RUNTIME,
	LIMIT_DRAIN,
	LIMIT_RESTART
};

/* What entering a state sets off. */
struct unit_entry {
	int phase; /* enum exec_phase whose commands run here, or -1 */
	enum unit_limit limit;
	int kill; /* 0, or SIGTERM or SIGKILL as the stage of the stop */
};
extern const struct unit_entry unit_entries[UNIT_STATE_COUNT];

/* Coarse questions about a state. */
bool unit_is_up(enum unit_state state);	    /* others may rely on it */
bool unit_is_down(enum unit_state state);   /* nothing of it runs or will by itself */
bool unit_is_coming(enum unit_state state); /* on its way up, a restart included */
bool unit_is_going(enum unit_state state);  /* on its way down */
