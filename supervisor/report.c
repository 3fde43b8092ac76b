#include "supervisor/report.h"

/*
 * What one run of a helper leaves behind, for the board: of each secret what became of it, of the
 * life when the next look is. The helper speaks with strangers, so its report is read as a
 * stranger's bytes (lib/secretreport.h), and one that is missing is a failure like any other.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "supervisor/fetch.h"
#include "supervisor/spread.h"

#define BACKOFF_FETCH_US (20 * USEC_PER_SEC)   /* at most: a start waits */
#define LOOK_LEAST_US	 (200 * USEC_PER_MSEC) /* between looks, whatever a helper wants */

/* ---- times */

/* Refresh= with a tenth more or less, or what the helper asks for, whichever is first. */
static uint64_t next_look(const struct manager *m, uint32_t unit, uint64_t next_ms, uint64_t now)
{
	uint64_t period = plan_unit(&m->plan, unit)->refresh_us, delay = USEC_INFINITY;

	if (period > 0)
		delay = spread_look(period, spread_draw());
	if (next_ms != SECRETREPORT_NEVER)
		delay = MIN(delay, MAX(MIN(next_ms, UINT32_MAX) * USEC_PER_MSEC, LOOK_LEAST_US));
	return clock_add_us(now, delay);
}

static uint64_t in_ms(uint64_t now, uint64_t ms)
{
	return ms == SECRETREPORT_NEVER || ms > USEC_INFINITY / USEC_PER_MSEC
		       ? USEC_INFINITY
		       : clock_add_us(now, ms * USEC_PER_MSEC);
}

/* ---- what a run has said */

void report_read(const struct manager *m, const struct journal_entry *entry,
		 struct secretreport *report)
{
	uint32_t count = plan_unit(&m->plan, entry->unit)->secrets.count;
	int status = entry->code == CLD_EXITED ? entry->status : REPORT_STATUS_INTERNAL;
	int fd = m->runtime[entry->unit].report_fd;
	int r = fd < 0 ? -EBADF : secretreport_read(fd, count, report);

	if (r == 0 && report->status == status)
		return;
	if (entry->code == CLD_EXITED)
		event_emit(EVENT_WARNING, "secrets-report", plan_unit_name(&m->plan, entry->unit),
			   "%s left no report that can be used",
			   role_programs[fetch_role(&m->plan, entry->unit)]);
	/* Of none of its items anything is known. */
	secretreport_init(report, 0);
	/* One that was killed, by us or for want of memory, is worth another try. One that says
	 * nothing has failed, whatever its status: its values may be half of what they are. */
	report->status = entry->code != CLD_EXITED ? REPORT_STATUS_TEMPORARY
			 : status		   ? status
						   : REPORT_STATUS_INTERNAL;
}

void report_publish(struct manager *m, uint32_t unit, const struct secretreport *report)
{
	struct plan_range range = plan_unit(&m->plan, unit)->secrets;

	if (report->status != 0)
		board_write_failure(&m->board, unit, report->failure);
	for (uint32_t i = 0; i < range.count && i < report->count; i++) {
		struct board_secret next = *board_peek_secret(&m->board, range.first + i);
		const struct secretreport_item *item = &report->items[i];
		bool is_kept = item->flags & SECRETREPORT_ITEM_KEPT;
		next.outcome = item->outcome;
		next.flags = (is_kept ? BOARD_SECRET_KEPT : 0) |
			     (item->flags & SECRETREPORT_ITEM_ABSENT ? BOARD_SECRET_ABSENT : 0);
		if (report->status == 0 && item->outcome == SECRET_OK && !is_kept) {
			next.fetched_us = clock_now_us();
			next.fetched_wall_us = clock_wall_us();
			next.expires = item->expires;
			next.length = item->length;
			next.lease_s = item->lease_s;
			memcpy(next.version, item->version, sizeof(next.version));
		}
		board_write_secret(&m->board, range.first + i, &next);
	}
}

/* What each run leaves in the life, whatever it was for. */
void report_note(const struct manager *m, uint32_t unit, struct board_life *life,
		 const struct secretreport *report, uint64_t now)
{
	bool is_kept = report->flags & SECRETREPORT_KEPT;

	life->status = report->status;
	life->deadline_us = USEC_INFINITY;
	life->flags &= ~LIFE_KEPT;
	if (report->status == 0) {
		life->fetches++;
		life->lease_end_us = in_ms(now, report->lease_end_ms);
	}
	if (report->status == 0 && !is_kept) {
		life->attempts = 0;
		life->fetched_us = now;
		life->fetched_wall_us = clock_wall_us();
		life->due_us = next_look(m, unit, report->next_ms, now);
		return;
	}
	life->attempts++;
	life->failures++;
	bool is_first = board_peek_unit(&m->board, unit)->state == UNIT_FETCHING;
	life->flags |= life->fetches > 0 ? LIFE_KEPT : 0;
	life->due_us = clock_add_us(
		now, spread_backoff(life->attempts, is_first ? BACKOFF_FETCH_US : REPORT_BACKOFF_US,
				    report->retry_ms, spread_draw()));
}
