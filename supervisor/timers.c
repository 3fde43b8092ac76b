#include "supervisor/timers.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "supervisor/exits.h"
#include "supervisor/life.h"
#include "supervisor/secrets.h"
#include "supervisor/stop.h"
#include "supervisor/transition.h"
#include "supervisor/work.h"

static void retry(struct manager *m, uint32_t unit)
{
	struct board_unit record = *board_peek_unit(&m->board, unit);

	/* Whatever the unit's state: what is given back at the end only needs the loop to turn. */
	m->runtime[unit].retry_us = USEC_INFINITY;
	manager_update_due(m, unit);
	if (record.state == UNIT_START) {
		exits_wait_for_pid_file(m, unit, &record);
	} else if (record.state == UNIT_FETCHING) {
		transition_resume(m, unit);
	} else if (plan_unit(&m->plan, unit)->kind == UNIT_SOCKET) {
		manager_mark(m, unit);
	} else if (unit_entries[record.state].kill) {
		int event = stop_when_empty(m, unit, &record);
		if (event != NO_EVENT)
			transition_advance(m, unit, &record, (enum unit_event)event);
	}
}

/* The deadline of a killing stage. */
static enum unit_event kill_timeout_event(struct manager *m, uint32_t unit,
					  struct board_unit *record)
{
	work_fail(record, RESULT_TIMEOUT);
	if (record->state == UNIT_FINAL_SIGKILL)
		return stop_end_event(m, unit, record);
	if (plan_unit(&m->plan, unit)->flags & UNIT_SEND_SIGKILL)
		return EVENT_UNIT_TIMEOUT;
	return record->state == UNIT_FINAL_SIGTERM ? stop_end_event(m, unit, record)
						   : EVENT_UNIT_EMPTY;
}

static void timed_out(struct manager *m, uint32_t unit)
{
	struct board_unit record = *board_peek_unit(&m->board, unit);
	enum unit_event event = EVENT_UNIT_TIMEOUT;

	if (record.state == UNIT_AUTO_RESTART) {
		/* reconcile.c asks whether the restart may begin, and sees that it is due. */
		record.deadline_us = USEC_INFINITY;
		manager_publish(m, unit, &record);
		CRASH_POINT("restart-due");
		manager_mark(m, unit);
		return;
	}
	if (unit_entries[record.state].kill)
		event = kill_timeout_event(m, unit, &record);
	else if (record.state == UNIT_FETCHING)
		secrets_timed_out(m, unit, &record);
	else if (record.state != UNIT_DRAIN)
		work_fail(&record, RESULT_TIMEOUT);
	transition_advance(m, unit, &record, event);
}

static void watchdog_bites(struct manager *m, uint32_t unit)
{
	struct board_unit record = *board_peek_unit(&m->board, unit);

	work_fail(&record, RESULT_WATCHDOG);
	record.flags |= BOARD_UNIT_WATCHDOG_BIT;
	event_emit(EVENT_ERROR, "watchdog", plan_unit_name(&m->plan, unit),
		   "no WATCHDOG=1 came in time");
	transition_advance(m, unit, &record,
			   record.state == UNIT_START_POST ? EVENT_UNIT_FAIL : EVENT_UNIT_WATCHDOG);
}

void timers_check(struct manager *m, uint64_t now)
{
	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		if (m->runtime[unit].due_us > now)
			continue;
		if (m->runtime[unit].retry_us <= now)
			retry(m, unit);
		if (m->runtime[unit].secrets_due_us <= now)
			life_check_time(m, unit, now);
		if (board_peek_unit(&m->board, unit)->watchdog_us <= now)
			watchdog_bites(m, unit);
		if (board_peek_unit(&m->board, unit)->deadline_us <= now)
			timed_out(m, unit);
	}
}

uint64_t timers_next(const struct manager *m)
{
	uint64_t due = board_peek_manager(&m->board)->deadline_us;

	for (uint32_t unit = 0; unit < m->n_units; unit++)
		due = MIN(due, m->runtime[unit].due_us);
	return due;
}
