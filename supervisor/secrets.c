#include "supervisor/secrets.h"

/* The first fetch of a run, and the record that all that is done about secrets shares. */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "supervisor/fetch.h"
#include "supervisor/identity.h"
#include "supervisor/report.h"
#include "supervisor/turns.h"

/* ---- the records */

bool secrets_has_any(const struct manager *m, uint32_t unit)
{
	return plan_unit(&m->plan, unit)->secrets.count > 0;
}

struct board_life secrets_life(const struct manager *m, uint32_t unit)
{
	return *board_peek_life(&m->board, plan_unit(&m->plan, unit)->secrets.first);
}

void secrets_publish(struct manager *m, uint32_t unit, const struct board_life *life)
{
	board_write_life(&m->board, plan_unit(&m->plan, unit)->secrets.first, life);
	CRASH_POINT("life-published");
}

/* ---- the first fetch */

static bool is_worth_retrying(int status)
{
	return status == REPORT_STATUS_TEMPORARY || status == REPORT_STATUS_UNREACHABLE;
}

/* Another run of the unit starts with what is newest, and with patience anew. */
static void begin_run(struct manager *m, uint32_t unit, const struct board_unit *record,
		      struct board_life *life)
{
	if (life->run_us == record->started_us)
		return;
	life->run_us = record->started_us;
	life->attempts = 0;
	life->flags &= ~LIFE_STALE;
	life->apply_us = USEC_INFINITY;
	if (!(record->flags & BOARD_UNIT_SECRETS_READY))
		life->due_us = 0;
	secrets_publish(m, unit, life);
}

static int fail_fetch(struct board_unit *record, int status)
{
	if (record->result == RESULT_SUCCESS)
		record->result = RESULT_SECRETS;
	record->exec_error = status;
	return EVENT_UNIT_FAIL;
}

uint32_t secrets_left_ms(uint64_t now, uint64_t deadline_us)
{
	uint64_t left = deadline_us > now ? deadline_us - now : 0;

	return (uint32_t)MAX(MIN(left / USEC_PER_MSEC, UINT32_MAX), 1U);
}

static int give_up(const struct manager *m, uint32_t unit, struct board_unit *record, int status)
{
	if (unit == m->plan.header->identity_unit)
		identity_explain(m);
	return fail_fetch(record, status);
}

/* One run as long as it may last: what a run that ends without all of its secrets has is lost, and
 * a fleet that is throttled would fetch the same again and again (docs/fleet.md). */
static int start_fetch(struct manager *m, uint32_t unit, struct board_unit *record,
		       struct board_life *life, uint64_t now)
{
	struct fetch fetch = {
		.unit = unit,
		.operation = SECRETS_FETCH,
		.slot = SLOT_HELPER,
		.side = 1 - (life->side & 1),
		.deadline_ms = secrets_left_ms(now, record->deadline_us),
	};

	int status = identity_check(m, unit);
	if (status != 0)
		return fail_fetch(record, status);
	life->deadline_us = now + fetch.deadline_ms * USEC_PER_MSEC + SECRETS_GRACE_US;
	secrets_publish(m, unit, life);
	int r = fetch_begin(m, &fetch);
	if (r == 0)
		return NO_EVENT;
	if (r == -EAGAIN) {
		/* PID 1 has still to read what was sent before. */
		manager_retry_soon(m, unit);
		return NO_EVENT;
	}
	event_emit(EVENT_ERROR, "secrets-failed", plan_unit_name(&m->plan, unit),
		   "cannot start fetching its secrets: %s", strerror(-r));
	return fail_fetch(record, REPORT_STATUS_INTERNAL);
}

int secrets_begin(struct manager *m, uint32_t unit, struct board_unit *record)
{
	uint64_t now = clock_now_us();

	if (!secrets_has_any(m, unit))
		return EVENT_UNIT_DONE;
	struct board_life life = secrets_life(m, unit);
	if (life.lease_end_us <= now)
		record->flags &= ~BOARD_UNIT_SECRETS_READY;
	begin_run(m, unit, record, &life);
	if (record->flags & BOARD_UNIT_SECRETS_READY)
		return EVENT_UNIT_DONE;
	/* Two runs of one unit would share what they remember. Its end brings us here again. */
	if (manager_pid(m, unit, SLOT_REFRESH) > 0 || manager_pid(m, unit, SLOT_HELPER) > 0)
		return NO_EVENT;
	if (life.due_us > now && life.attempts > 0)
		return NO_EVENT;
	return turns_take(m, unit) ? start_fetch(m, unit, record, &life, now) : NO_EVENT;
}

static void say_retry(const struct manager *m, uint32_t unit, const struct board_life *life,
		      uint64_t now)
{
	event_with_i64("status", life->status);
	event_with_i64("attempt", life->attempts);
	event_with_i64("delay_ms", (int64_t)((life->due_us - now) / USEC_PER_MSEC));
	event_emit(EVENT_WARNING, "secrets-retry", plan_unit_name(&m->plan, unit),
		   "its secrets cannot be had now and will be tried again");
}

int secrets_fetched(struct manager *m, const struct journal_entry *entry, struct board_unit *record)
{
	static struct secretreport report;
	struct board_life life = secrets_life(m, entry->unit);
	uint64_t now = clock_now_us();

	/* A predecessor may have come as far as this, and no farther. */
	if (entry->seq > life.applied) {
		report_read(m, entry, &report);
		report_publish(m, entry->unit, &report);
		life.applied = entry->seq;
		report_note(m, entry->unit, &life, &report, now);
		if (life.status == 0)
			life.side = 1 - (life.side & 1);
		secrets_publish(m, entry->unit, &life);
		if (life.status != 0 || life.fetches > 1)
			fetch_drop(m, entry->unit, 1 - (life.side & 1));
	}
	turns_give(m);
	if (life.status == 0) {
		record->flags |= BOARD_UNIT_SECRETS_READY;
		return EVENT_UNIT_DONE;
	}
	if (!is_worth_retrying(life.status) || life.due_us >= record->deadline_us)
		return give_up(m, entry->unit, record, life.status);
	say_retry(m, entry->unit, &life, now);
	return NO_EVENT;
}

void secrets_timed_out(struct manager *m, uint32_t unit, struct board_unit *record)
{
	int status = secrets_life(m, unit).status;

	event_emit(EVENT_ERROR, "secrets-failed", plan_unit_name(&m->plan, unit),
		   "its secrets did not come within FetchTimeoutSec=");
	(void)give_up(m, unit, record, status ? status : REPORT_STATUS_TEMPORARY);
}
