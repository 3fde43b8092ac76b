#include "supervisor/transition.h"

#include <signal.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "supervisor/outcome.h"
#include "supervisor/spawn.h"
#include "supervisor/stop.h"
#include "supervisor/work.h"

#define LEAST_FOR_KILL_US (500 * USEC_PER_MSEC)

static uint64_t fetch_limit(const struct manager *m, uint32_t unit)
{
	uint64_t limit = m->plan.header->fetch_timeout_us;

	return limit == 0 || plan_unit(&m->plan, unit)->secrets.count == 0 ? USEC_INFINITY : limit;
}

static uint64_t limit_of(const struct manager *m, uint32_t unit, const struct board_unit *record,
			 enum unit_limit limit)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);

	switch (limit) {
	case LIMIT_FETCH: return fetch_limit(m, unit);
	case LIMIT_START: return plan->timeout_start_us;
	case LIMIT_STOP: return plan->timeout_stop_us;
	case LIMIT_ABORT: return plan->timeout_abort_us;
	case LIMIT_RUNTIME: return plan->runtime_max_us;
	case LIMIT_DRAIN: return plan->drain_us;
	case LIMIT_RESTART:
		return record->flags & BOARD_UNIT_PLANNED
			       ? 0
			       : outcome_restart_delay(plan, record->restarts);
	default: return USEC_INFINITY;
	}
}

/* The start's limit is one for all its states: the deadline is kept from one to the next. */
static uint64_t deadline_of(const struct manager *m, uint32_t unit, const struct board_unit *record,
			    enum unit_state from, enum unit_state to, uint64_t now)
{
	enum unit_limit limit = unit_entries[to].limit;

	if (limit == LIMIT_START && unit_entries[from].limit == LIMIT_START)
		return record->deadline_us;
	if (to == UNIT_STOP_SIGTERM && (record->flags & BOARD_UNIT_WATCHDOG_BIT))
		limit = LIMIT_ABORT;
	uint64_t deadline = clock_add_us(now, limit_of(m, unit, record, limit));
	if (limit != LIMIT_STOP && limit != LIMIT_ABORT && limit != LIMIT_DRAIN)
		return deadline;
	/* KILL gets a moment to take effect even when the budget is spent. */
	uint64_t least = unit_entries[to].kill == SIGKILL ? now + LEAST_FOR_KILL_US : now;
	return MIN(deadline, MAX(manager_stop_deadline(m), least));
}

/* A new run begins with nothing of the last one but the counts. */
static void forget_last_run(struct board_unit *record)
{
	record->result = RESULT_SUCCESS;
	record->exec_error = 0;
	record->flags &= BOARD_UNIT_SECRETS_READY | BOARD_UNIT_PLANNED;
}

static void count_end(struct board_unit *record, enum unit_event event)
{
	if (event == EVENT_UNIT_END_RESTART && !(record->flags & BOARD_UNIT_PLANNED))
		record->restarts++;
	if (event == EVENT_UNIT_END_FAILED || event == EVENT_UNIT_REFUSE)
		record->flags |= BOARD_UNIT_TRIGGER_PENDING | BOARD_UNIT_SETTLED;
	if (event == EVENT_UNIT_END_CLEAN && record->goal == GOAL_UP &&
	    !(record->flags & BOARD_UNIT_CONDITION_UNMET))
		record->flags |= BOARD_UNIT_TRIGGER_PENDING;
	if (event == EVENT_UNIT_SKIP)
		record->flags |= BOARD_UNIT_CONDITION_UNMET | BOARD_UNIT_SETTLED;
}

/* Such a unit is ready when its probe says so, not when it is up. */
static bool is_probed(const struct manager *m, uint32_t unit)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);

	return plan_unit_probe(&m->plan, plan, PROBE_READINESS)->type != PROBE_NONE ||
	       plan_unit_probe(&m->plan, plan, PROBE_STARTUP)->type != PROBE_NONE;
}

static void enter_record(struct manager *m, uint32_t unit, struct board_unit *record,
			 enum unit_state to, enum unit_event event)
{
	enum unit_state from = (enum unit_state)record->state;
	uint64_t now = clock_now_us();

	if (event == EVENT_UNIT_START)
		forget_last_run(record);
	count_end(record, event);
	record->command = event == EVENT_UNIT_NEXT ? record->command + 1 : 0;
	record->deadline_us = event == EVENT_UNIT_NEXT
				      ? record->deadline_us
				      : deadline_of(m, unit, record, from, to, now);
	record->state = to;
	record->flags &= ~BOARD_UNIT_SIGNALLED;
	if (from != to) {
		record->since_us = now;
		record->since_wall_us = clock_wall_us();
	}
	if (event == EVENT_UNIT_START)
		record->started_us = now;
	if (to == UNIT_STOP_SIGKILL)
		record->flags |= BOARD_UNIT_KILLED;
	if (unit_is_up(to) && !unit_is_up(from)) {
		record->active_us = now;
		record->flags |= is_probed(m, unit) ? 0 : BOARD_UNIT_READY;
	}
	if (!unit_is_up(to))
		record->flags &= ~BOARD_UNIT_READY;
	if ((unit_is_up(to) && to != UNIT_DRAIN) || unit_is_down(to))
		record->flags &= ~BOARD_UNIT_PLANNED;
	bool is_watched = to == UNIT_START_POST || to == UNIT_RUNNING || to == UNIT_DRAIN;
	if (!is_watched || plan_unit(&m->plan, unit)->watchdog_us == PLAN_INFINITY_US)
		record->watchdog_us = USEC_INFINITY;
	else if (record->watchdog_us == USEC_INFINITY)
		record->watchdog_us = clock_add_us(now, plan_unit(&m->plan, unit)->watchdog_us);
}

/* One line for people at each change that they would ask about. */
static void tell(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	static const struct {
		enum event_level level;
		const char *event, *text;
	} lines[UNIT_STATE_COUNT] = {
		[UNIT_RUNNING] = {EVENT_INFO, "unit-up", "is up"},
		[UNIT_EXITED] = {EVENT_INFO, "unit-up", "has done its work"},
		[UNIT_DRAIN] = {EVENT_INFO, "unit-draining", "is being drained"},
		[UNIT_STOP_SIGTERM] = {EVENT_INFO, "unit-stopping", "is being stopped"},
		[UNIT_STOP_SIGKILL] = {EVENT_WARNING, "unit-killing",
				       "did not end in time and is being killed"},
		[UNIT_FINAL_SIGKILL] =
			{EVENT_WARNING, "unit-killing",
			 "left processes that did not end in time and are being killed"},
		[UNIT_INACTIVE] = {EVENT_INFO, "unit-down", "is down"},
		[UNIT_AUTO_RESTART] = {EVENT_WARNING, "unit-restarting", "will be started again"},
		[UNIT_FAILED] = {EVENT_ERROR, "unit-failed", "has failed"},
	};

	/* One that ended by itself is not being stopped, and one that has no time for it not drained. */
	if ((record->state == UNIT_STOP_SIGTERM && manager_pid(m, unit, SLOT_MAIN) <= 0) ||
	    (record->state == UNIT_DRAIN && !work_is_drained(m, unit)))
		return;
	if (!lines[record->state].event || plan_unit(&m->plan, unit)->kind != UNIT_SERVICE)
		return;
	event_with_string("state", unit_state_names[record->state]);
	if (record->result != RESULT_SUCCESS)
		event_with_string("result", unit_result_names[record->result]);
	if (manager_pid(m, unit, SLOT_MAIN) > 0)
		event_with_i64("pid", manager_pid(m, unit, SLOT_MAIN));
	if (record->state == UNIT_AUTO_RESTART) {
		event_with_i64("restarts", record->restarts);
		event_with_i64("delay_ms",
			       (int64_t)((record->deadline_us - record->since_us) / USEC_PER_MSEC));
	}
	event_emit(lines[record->state].level, lines[record->state].event,
		   plan_unit_name(&m->plan, unit), "%s %s", plan_unit_name(&m->plan, unit),
		   lines[record->state].text);
}

void transition_advance(struct manager *m, uint32_t unit, struct board_unit *record,
			enum unit_event event)
{
	for (;;) {
		int next = unit_next((enum unit_state)record->state, event);
		if (next < 0) {
			event_emit(EVENT_ERROR, "illegal-transition",
				   plan_unit_name(&m->plan, unit), "%s has no meaning in state %s",
				   unit_event_names[event], unit_state_names[record->state]);
			manager_publish(m, unit, record);
			return;
		}
		if (unit_is_down((enum unit_state)next) &&
		    !unit_is_down((enum unit_state)record->state)) {
			spawn_clean_up(&m->spawner, unit);
			CRASH_POINT("cleaned-up");
		}
		bool is_entry = (uint32_t)next != record->state || event == EVENT_UNIT_NEXT ||
				event == EVENT_UNIT_SKIP;
		if (is_entry)
			enter_record(m, unit, record, (enum unit_state)next, event);
		m->runtime[unit].retry_us = USEC_INFINITY;
		CRASH_POINT(unit_state_names[next]);
		manager_publish(m, unit, record);
		CRASH_POINT("published");
		manager_mark_around(m, unit);
		int follows = NO_EVENT;
		if (is_entry) {
			tell(m, unit, record);
			follows = work_begin(m, unit, record);
		} else if (unit_entries[next].kill) {
			follows = stop_when_empty(m, unit, record);
		}
		if (follows == NO_EVENT)
			return;
		event = (enum unit_event)follows;
	}
}

void transition_raise(struct manager *m, uint32_t unit, enum unit_event event)
{
	struct board_unit record = *board_peek_unit(&m->board, unit);

	transition_advance(m, unit, &record, event);
}

void transition_resume(struct manager *m, uint32_t unit)
{
	struct board_unit record = *board_peek_unit(&m->board, unit);
	int event = work_begin(m, unit, &record);

	if (event != NO_EVENT)
		transition_advance(m, unit, &record, (enum unit_event)event);
}
