#include "supervisor/reconcile.h"

#include "lib/clock.h"
#include "lib/condition.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "supervisor/goal.h"
#include "supervisor/outcome.h"
#include "supervisor/probe.h"
#include "supervisor/life.h"
#include "supervisor/transition.h"
#include "supervisor/watch.h"

static const struct board_unit *record_of(const struct manager *m, uint32_t unit)
{
	return board_peek_unit(&m->board, unit);
}

static enum unit_state state_of(const struct manager *m, uint32_t unit)
{
	return (enum unit_state)record_of(m, unit)->state;
}

/* Calls test for each unit of the relation until one is true. */
typedef bool unit_test(const struct manager *m, uint32_t other);

static bool any(const struct manager *m, uint32_t unit, enum unit_relation relation,
		unit_test *test)
{
	struct plan_list list = plan_unit(&m->plan, unit)->relations[relation];

	for (uint32_t i = 0; i < list.count; i++) {
		if (test(m, plan_list_get(&m->plan, list, i)))
			return true;
	}
	return false;
}

static bool has_relation(const struct manager *m, uint32_t unit, enum unit_relation relation,
			 uint32_t other)
{
	struct plan_list list = plan_unit(&m->plan, unit)->relations[relation];

	for (uint32_t i = 0; i < list.count; i++) {
		if (plan_list_get(&m->plan, list, i) == other)
			return true;
	}
	return false;
}

/* ---- may it start? */

/* Its run is over, and badly: who requires it cannot start. */
static bool has_failed_for_good(const struct manager *m, uint32_t unit)
{
	const struct board_unit *record = record_of(m, unit);

	return (record->flags & BOARD_UNIT_SETTLED) && record->result != RESULT_SUCCESS &&
	       unit_is_down((enum unit_state)record->state);
}

static bool is_not_up(const struct manager *m, uint32_t unit)
{
	return !unit_is_up(state_of(m, unit));
}

static bool is_over_or_unwanted(const struct manager *m, uint32_t unit)
{
	const struct board_unit *record = record_of(m, unit);

	return unit_is_down((enum unit_state)record->state) &&
	       (record->goal == GOAL_DOWN || (record->flags & BOARD_UNIT_SETTLED));
}

static bool is_refused(const struct manager *m, uint32_t unit)
{
	return any(m, unit, REL_REQUIRES, has_failed_for_good) ||
	       any(m, unit, REL_BINDS_TO, is_over_or_unwanted) ||
	       any(m, unit, REL_REQUISITE, is_not_up);
}

/* A unit that is ordered before ours has still to come up, or still to go down. */
static bool must_come_first(const struct manager *m, uint32_t unit, uint32_t first)
{
	const struct board_unit *record = record_of(m, first);
	enum unit_state state = (enum unit_state)record->state;

	if (unit_is_going(state))
		return true;
	if (record->goal == GOAL_DOWN || unit_is_up(state) || (record->flags & BOARD_UNIT_SETTLED))
		return false;
	/* One that keeps failing holds up only those that cannot do without it. */
	if (state == UNIT_AUTO_RESTART)
		return (plan_unit(&m->plan, unit)->flags & UNIT_PATIENT) ||
		       has_relation(m, unit, REL_REQUIRES, first) ||
		       has_relation(m, unit, REL_BINDS_TO, first);
	return true;
}

static bool waits_for_order(const struct manager *m, uint32_t unit)
{
	struct plan_list list = plan_unit(&m->plan, unit)->relations[REL_AFTER];

	for (uint32_t i = 0; i < list.count; i++) {
		if (must_come_first(m, unit, plan_list_get(&m->plan, list, i)))
			return true;
	}
	return false;
}

static bool is_up_or_starting(const struct manager *m, uint32_t unit)
{
	enum unit_state state = state_of(m, unit);

	return unit_is_up(state) || (unit_is_coming(state) && state != UNIT_AUTO_RESTART);
}

static bool is_in_the_way(const struct manager *m, uint32_t unit)
{
	return !unit_is_down(state_of(m, unit));
}

/* Stopped units that are ordered after ours, and that our restart took down, come first. */
static bool waits_for_dependents(const struct manager *m, uint32_t unit)
{
	struct plan_list list = plan_unit(&m->plan, unit)->relations[REL_BEFORE];

	for (uint32_t i = 0; i < list.count; i++) {
		if (unit_is_going(state_of(m, plan_list_get(&m->plan, list, i))))
			return true;
	}
	return false;
}

/* A restart takes some units down with it (is_held_down); it waits until they have seen it, however
 * short its delay was. */
static bool waits_for_witnesses(const struct manager *m, uint32_t unit)
{
	static const enum unit_relation relations[] = {REL_BOUND_BY, REL_REQUIRED_BY,
						       REL_CONSISTS_OF};

	if (state_of(m, unit) != UNIT_AUTO_RESTART)
		return false;
	for (size_t i = 0; i < sizeof(relations) / sizeof(relations[0]); i++) {
		if (any(m, unit, relations[i], is_up_or_starting))
			return true;
	}
	return false;
}

static void refuse(struct manager *m, uint32_t unit, enum unit_result result, const char *why)
{
	struct board_unit record = *record_of(m, unit);

	record.result = result;
	event_with_string("result", unit_result_names[result]);
	event_emit(EVENT_ERROR, "unit-refused", plan_unit_name(&m->plan, unit), "not started: %s",
		   why);
	transition_advance(m, unit, &record, EVENT_UNIT_REFUSE);
}

static void start(struct manager *m, uint32_t unit)
{
	struct board_unit record = *record_of(m, unit);
	const char *unmet;

	switch (condition_check(&m->plan, unit, &unmet)) {
	case CONDITION_UNMET:
		event_emit(EVENT_INFO, "unit-skipped", plan_unit_name(&m->plan, unit),
			   "not started: %s does not hold", unmet);
		watch_pause(m, unit);
		transition_advance(m, unit, &record, EVENT_UNIT_SKIP);
		return;
	case CONDITION_ASSERT_FAILED: refuse(m, unit, RESULT_ASSERT, unmet); return;
	case CONDITION_HOLDS: break;
	}
	if (!(record.flags & BOARD_UNIT_PLANNED) &&
	    !outcome_start_allowed(plan_unit(&m->plan, unit), &record, clock_now_us())) {
		refuse(m, unit, RESULT_START_LIMIT, "it was started too often in a short time");
		return;
	}
	transition_advance(m, unit, &record, EVENT_UNIT_START);
}

static void pull_up(struct manager *m, uint32_t unit)
{
	const struct board_unit *record = record_of(m, unit);
	bool is_due = record->state != UNIT_AUTO_RESTART || record->deadline_us == USEC_INFINITY;

	if ((record->flags & BOARD_UNIT_SETTLED) || !is_due || m->is_over)
		return;
	if (is_refused(m, unit)) {
		refuse(m, unit, RESULT_DEPENDENCY, "a unit that it depends on is not up");
		return;
	}
	if (waits_for_order(m, unit) || waits_for_dependents(m, unit) ||
	    waits_for_witnesses(m, unit) || any(m, unit, REL_CONFLICTS, is_in_the_way) ||
	    any(m, unit, REL_CONFLICTED_BY, is_in_the_way))
		return;
	start(m, unit);
}

/* ---- must it stop? */

static bool is_restarting(const struct manager *m, uint32_t unit)
{
	return state_of(m, unit) == UNIT_AUTO_RESTART;
}

static bool is_gone(const struct manager *m, uint32_t unit)
{
	enum unit_state state = state_of(m, unit);

	return unit_is_down(state) || unit_is_going(state) || state == UNIT_AUTO_RESTART;
}

/*
 * Its goal is up, but another unit takes it down: systemd restarts what requires, is part of or is
 * bound to a unit together with that unit, and stops what is bound to one that is gone.
 */
static bool is_held_down(const struct manager *m, uint32_t unit)
{
	return any(m, unit, REL_BINDS_TO, is_gone) || any(m, unit, REL_REQUIRES, is_restarting) ||
	       any(m, unit, REL_PART_OF, is_restarting);
}

/* The reverse of the start: a unit is stopped once those that were started after it are down. */
static bool is_still_needed(const struct manager *m, uint32_t unit)
{
	struct plan_list list = plan_unit(&m->plan, unit)->relations[REL_BEFORE];

	for (uint32_t i = 0; i < list.count; i++) {
		const struct board_unit *later = record_of(m, plan_list_get(&m->plan, list, i));
		if (later->goal == GOAL_DOWN && !unit_is_down((enum unit_state)later->state))
			return true;
	}
	return false;
}

static void take_down(struct manager *m, uint32_t unit)
{
	if (!is_still_needed(m, unit))
		transition_raise(m, unit, EVENT_UNIT_STOP);
}

static void hold_down(struct manager *m, uint32_t unit)
{
	struct board_unit record = *record_of(m, unit);

	record.flags |= BOARD_UNIT_RESTARTING;
	transition_advance(m, unit, &record, EVENT_UNIT_STOP);
}

/* ---- what its end sets off */

static void trigger(struct manager *m, uint32_t unit)
{
	struct board_unit record = *record_of(m, unit);

	if (board_peek_manager(&m->board)->stop_us == 0)
		goal_for_each(m, unit,
			      record.result == RESULT_SUCCESS ? REL_ON_SUCCESS : REL_ON_FAILURE,
			      goal_want);
	CRASH_POINT("triggered");
	record = *record_of(m, unit);
	record.flags &= ~BOARD_UNIT_TRIGGER_PENDING;
	manager_publish(m, unit, &record);
}

static void look_at(struct manager *m, uint32_t unit)
{
	const struct board_unit *record = record_of(m, unit);
	enum unit_state state = (enum unit_state)record->state;
	bool can_start = unit_is_down(state) || state == UNIT_AUTO_RESTART;

	if ((record->flags & BOARD_UNIT_TRIGGER_PENDING) && unit_is_down(state)) {
		trigger(m, unit);
		record = record_of(m, unit);
	}
	if (record->goal == GOAL_UP && can_start)
		pull_up(m, unit);
	else if (record->goal == GOAL_UP && !unit_is_going(state) && state != UNIT_DRAIN &&
		 is_held_down(m, unit))
		hold_down(m, unit);
	else if (record->goal == GOAL_DOWN && !unit_is_down(state) && !unit_is_going(state) &&
		 state != UNIT_DRAIN)
		take_down(m, unit);
	if (outcome_ends_instance(plan_unit(&m->plan, unit), record_of(m, unit)) != ACTION_NONE)
		m->is_over = true;
	watch_update(m, unit);
	probe_update(m, unit);
	life_update(m, unit);
}

void reconcile_run(struct manager *m)
{
	while (m->queue_count > 0) {
		uint32_t unit = m->queue[m->queue_head];
		m->queue_head = (m->queue_head + 1) % m->n_units;
		m->queue_count--;
		m->runtime[unit].is_dirty = false;
		look_at(m, unit);
	}
}
