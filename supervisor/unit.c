#include "supervisor/unit.h"

#include <signal.h>

const char *const unit_event_names[UNIT_EVENT_COUNT] = {
#define X(id, name) [EVENT_UNIT_##id] = name,
	UNIT_EVENTS(X)
#undef X
};

/* One more than the state, so that what is not named is 0: illegal. */
#define TO(state) ((uint8_t)(UNIT_##state + 1))

/* A unit that is on its way up and is given up goes straight to killing what it has started. */
#define GIVE_UP                                                                        \
	[EVENT_UNIT_FAIL] = TO(STOP_SIGTERM), [EVENT_UNIT_TIMEOUT] = TO(STOP_SIGTERM), \
	[EVENT_UNIT_STOP] = TO(STOP_SIGTERM), [EVENT_UNIT_MAIN_FAIL] = TO(STOP_SIGTERM)

/* Where a unit is on its way down, its processes' ends and further wishes change nothing. */
#define GOING_DOWN(state)                                                \
	[EVENT_UNIT_STOP] = TO(state), [EVENT_UNIT_MAIN_OK] = TO(state), \
	[EVENT_UNIT_MAIN_FAIL] = TO(state)

#define ENDS                                                                         \
	[EVENT_UNIT_END_CLEAN] = TO(INACTIVE), [EVENT_UNIT_END_FAILED] = TO(FAILED), \
	[EVENT_UNIT_END_RESTART] = TO(AUTO_RESTART), [EVENT_UNIT_END_AGAIN] = TO(INACTIVE)

#define BEGINS                                                               \
	[EVENT_UNIT_START] = TO(FETCHING), [EVENT_UNIT_REFUSE] = TO(FAILED), \
	[EVENT_UNIT_SKIP] = TO(INACTIVE)

static const uint8_t table[UNIT_STATE_COUNT][UNIT_EVENT_COUNT] = {
	[UNIT_INACTIVE] = {BEGINS},
	[UNIT_FAILED] = {BEGINS},
	[UNIT_AUTO_RESTART] = {BEGINS, [EVENT_UNIT_STOP] = TO(INACTIVE)},
	[UNIT_FETCHING] =
		{
			[EVENT_UNIT_DONE] = TO(CONDITION),
			[EVENT_UNIT_FAIL] = TO(FINAL_SIGTERM),
			[EVENT_UNIT_TIMEOUT] = TO(FINAL_SIGTERM),
			[EVENT_UNIT_STOP] = TO(FINAL_SIGTERM),
		},
	[UNIT_CONDITION] =
		{
			GIVE_UP,
			[EVENT_UNIT_NEXT] = TO(CONDITION),
			[EVENT_UNIT_DONE] = TO(START_PRE),
			[EVENT_UNIT_SKIP] = TO(FINAL_SIGTERM),
		},
	[UNIT_START_PRE] =
		{
			GIVE_UP,
			[EVENT_UNIT_NEXT] = TO(START_PRE),
			[EVENT_UNIT_DONE] = TO(START),
		},
	[UNIT_START] =
		{
			GIVE_UP,
			[EVENT_UNIT_NEXT] = TO(START),
			[EVENT_UNIT_DONE] = TO(START_POST),
			[EVENT_UNIT_MAIN_OK] = TO(STOP_SIGTERM),
		},
	[UNIT_START_POST] =
		{
			GIVE_UP,
			[EVENT_UNIT_NEXT] = TO(START_POST),
			[EVENT_UNIT_DONE] = TO(RUNNING),
			[EVENT_UNIT_DONE_EXITED] = TO(EXITED),
			[EVENT_UNIT_DONE_OVER] = TO(STOP),
			/* The commands after the start still run to their end. */
			[EVENT_UNIT_MAIN_OK] = TO(START_POST),
			[EVENT_UNIT_MAIN_REMAIN] = TO(START_POST),
		},
	[UNIT_RUNNING] =
		{
			[EVENT_UNIT_STOP] = TO(DRAIN),
			[EVENT_UNIT_MAIN_OK] = TO(STOP),
			[EVENT_UNIT_MAIN_REMAIN] = TO(EXITED),
			[EVENT_UNIT_MAIN_FAIL] = TO(STOP_SIGTERM),
			[EVENT_UNIT_WATCHDOG] = TO(STOP_SIGTERM),
			[EVENT_UNIT_TIMEOUT] = TO(STOP),
		},
	[UNIT_EXITED] = {[EVENT_UNIT_STOP] = TO(STOP)},
	[UNIT_DRAIN] =
		{
			[EVENT_UNIT_DONE] = TO(STOP),
			[EVENT_UNIT_TIMEOUT] = TO(STOP),
			[EVENT_UNIT_STOP] = TO(DRAIN),
			[EVENT_UNIT_MAIN_OK] = TO(STOP_SIGTERM),
			[EVENT_UNIT_MAIN_REMAIN] = TO(STOP_SIGTERM),
			[EVENT_UNIT_MAIN_FAIL] = TO(STOP_SIGTERM),
			[EVENT_UNIT_WATCHDOG] = TO(STOP_SIGTERM),
		},
	[UNIT_STOP] =
		{
			GOING_DOWN(STOP),
			[EVENT_UNIT_NEXT] = TO(STOP),
			[EVENT_UNIT_DONE] = TO(STOP_SIGTERM),
			[EVENT_UNIT_FAIL] = TO(STOP_SIGTERM),
			[EVENT_UNIT_TIMEOUT] = TO(STOP_SIGTERM),
		},
	[UNIT_STOP_SIGTERM] =
		{
			GOING_DOWN(STOP_SIGTERM),
			[EVENT_UNIT_TIMEOUT] = TO(STOP_SIGKILL),
			[EVENT_UNIT_EMPTY] = TO(STOP_POST),
		},
	[UNIT_STOP_SIGKILL] =
		{
			GOING_DOWN(STOP_SIGKILL),
			/* A process that KILL does not end (state D) must not hold the rest. */
			[EVENT_UNIT_TIMEOUT] = TO(STOP_POST),
			[EVENT_UNIT_EMPTY] = TO(STOP_POST),
		},
	[UNIT_STOP_POST] =
		{
			GOING_DOWN(STOP_POST),
			[EVENT_UNIT_NEXT] = TO(STOP_POST),
			[EVENT_UNIT_DONE] = TO(FINAL_SIGTERM),
			[EVENT_UNIT_FAIL] = TO(FINAL_SIGTERM),
			[EVENT_UNIT_TIMEOUT] = TO(FINAL_SIGTERM),
		},
	[UNIT_FINAL_SIGTERM] =
		{
			ENDS,
			GOING_DOWN(FINAL_SIGTERM),
			[EVENT_UNIT_TIMEOUT] = TO(FINAL_SIGKILL),
		},
	[UNIT_FINAL_SIGKILL] =
		{
			ENDS,
			GOING_DOWN(FINAL_SIGKILL),
		},
};

const struct unit_entry unit_entries[UNIT_STATE_COUNT] = {
	[UNIT_INACTIVE] = {-1, LIMIT_NONE, 0},
	[UNIT_FETCHING] = {-1, LIMIT_FETCH, 0},
	[UNIT_CONDITION] = {EXEC_CONDITION, LIMIT_START, 0},
	[UNIT_START_PRE] = {EXEC_START_PRE, LIMIT_START, 0},
	[UNIT_START] = {EXEC_START, LIMIT_START, 0},
	[UNIT_START_POST] = {EXEC_START_POST, LIMIT_START, 0},
	[UNIT_RUNNING] = {-1, LIMIT_RUNTIME, 0},
	[UNIT_EXITED] = {-1, LIMIT_NONE, 0},
	[UNIT_DRAIN] = {-1, LIMIT_DRAIN, 0},
	[UNIT_STOP] = {EXEC_STOP, LIMIT_STOP, 0},
	[UNIT_STOP_SIGTERM] = {-1, LIMIT_STOP, SIGTERM},
	[UNIT_STOP_SIGKILL] = {-1, LIMIT_STOP, SIGKILL},
	[UNIT_STOP_POST] = {EXEC_STOP_POST, LIMIT_STOP, 0},
	[UNIT_FINAL_SIGTERM] = {-1, LIMIT_STOP, SIGTERM},
	[UNIT_FINAL_SIGKILL] = {-1, LIMIT_STOP, SIGKILL},
	[UNIT_AUTO_RESTART] = {-1, LIMIT_RESTART, 0},
	[UNIT_FAILED] = {-1, LIMIT_NONE, 0},
};

int unit_next(enum unit_state state, enum unit_event event)
{
	return table[state][event] - 1;
}

bool unit_is_up(enum unit_state state)
{
	return state == UNIT_RUNNING || state == UNIT_EXITED || state == UNIT_DRAIN;
}

bool unit_is_down(enum unit_state state)
{
	return state == UNIT_INACTIVE || state == UNIT_FAILED;
}

bool unit_is_coming(enum unit_state state)
{
	return (state >= UNIT_FETCHING && state <= UNIT_START_POST) || state == UNIT_AUTO_RESTART;
}

bool unit_is_going(enum unit_state state)
{
	return state >= UNIT_STOP && state <= UNIT_FINAL_SIGKILL;
}
