#include "supervisor/life.h"

/*
 * What is written down: struct board_life for the unit, struct board_secret for each secret. Both
 * are published before what they say is set off, and what was begun can be told from them and from
 * the slots: work without a process in SLOT_REFRESH, and without an exit that is still to be
 * applied, was never spawned or has died with its supervisor's knowledge of it, and is begun anew.
 *
 * Values lie in one of two files (life.side says in which); a run fills the other one, and one flip
 * of the record makes it the one that holds. Nothing here ever maps them: whether something has
 * changed is the helper's word, in its report.
 *
 * Nobody stampedes: remote helpers take turns (supervisor/turns.c), intervals have a random tenth,
 * tries after a failure full jitter, changes are applied at a random moment within ChangeSplaySec=
 * and one unit at a time.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/sys.h"
#include "supervisor/fetch.h"
#include "supervisor/identity.h"
#include "supervisor/report.h"
#include "supervisor/secrets.h"
#include "supervisor/spawn.h"
#include "supervisor/spread.h"
#include "supervisor/transition.h"
#include "supervisor/turns.h"

#define TURN_US (200 * USEC_PER_MSEC) /* a change that has to wait is looked at again */

static struct plan_range range_of(const struct manager *m, uint32_t unit)
{
	return plan_unit(&m->plan, unit)->secrets;
}

static const struct board_unit *record_of(const struct manager *m, uint32_t unit)
{
	return board_peek_unit(&m->board, unit);
}

static void end_helper(const struct manager *m, uint32_t unit, enum board_slot slot)
{
	int pidfd = m->runtime[unit].pidfd[slot];

	if (pidfd < 0 || sys_pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0)
		(void)kill(manager_pid(m, unit, slot), SIGKILL);
}

/* ---- beside the running unit */

static void begin_work(struct manager *m, uint32_t unit, struct board_life *life,
		       enum secrets_operation operation, uint32_t limit_ms)
{
	struct fetch fetch = {
		.unit = unit,
		.operation = operation,
		.slot = SLOT_REFRESH,
		.side = 1 - (life->side & 1),
		.deadline_ms = limit_ms,
	};

	life->work = operation == SECRETS_REVOKE ? LIFE_REVOKING : LIFE_REFRESHING;
	life->deadline_us = clock_now_us() + limit_ms * USEC_PER_MSEC + SECRETS_GRACE_US;
	secrets_publish(m, unit, life);
	int r = fetch_begin(m, &fetch);
	if (r == 0)
		return;
	if (r == -EAGAIN) {
		/* PID 1 has still to read what was sent before: what is lent is not forgotten for that. */
		life->work = LIFE_IDLE;
		life->due_us = clock_add_us(clock_now_us(), TURN_US);
		secrets_publish(m, unit, life);
		manager_retry_soon(m, unit);
		return;
	}
	life->work = operation == SECRETS_REVOKE ? LIFE_REVOKED : LIFE_IDLE;
	life->attempts++;
	life->due_us =
		clock_add_us(clock_now_us(),
			     spread_backoff(life->attempts, REPORT_BACKOFF_US, 0, spread_draw()));
	event_emit(EVENT_WARNING, "secrets-failed", plan_unit_name(&m->plan, unit),
		   operation == SECRETS_REVOKE ? "what was lent to it cannot be given back: %s"
					       : "cannot look for changes of its secrets: %s",
		   strerror(-r));
	secrets_publish(m, unit, life);
}

static void note_change(const struct manager *m, uint32_t unit, struct board_life *life,
			uint64_t now)
{
	static const char *const consequences[SECRET_CHANGE_COUNT] = {
		[CHANGE_NONE] = "it goes on with the old values until it is started again",
		[CHANGE_RESTART] = "it will be restarted",
		[CHANGE_SIGNAL] = "it will be told by a signal",
	};
	const struct plan_unit *plan = plan_unit(&m->plan, unit);

	life->side = 1 - (life->side & 1);
	life->flags |= LIFE_STALE;
	life->failed_deliveries = 0;
	if (plan->on_change != CHANGE_NONE)
		life->apply_us = spread_change(life->apply_us, now, m->plan.header->change_splay_us,
					       spread_draw());
	event_emit(EVENT_NOTICE, "secrets-changed", plan_unit_name(&m->plan, unit),
		   "a secret has changed: %s", consequences[plan->on_change]);
}

static void say_failure(const struct manager *m, uint32_t unit, const struct board_life *life)
{
	/* The helper has said which and why; once is enough for an outage. */
	if (life->attempts != 1)
		return;
	event_with_i64("status", life->status);
	event_emit(EVENT_WARNING, "secrets-kept", plan_unit_name(&m->plan, unit),
		   "its secrets cannot be looked at: the values that it has are kept");
}

static void apply_refresh(struct manager *m, const struct journal_entry *entry,
			  struct board_life *life)
{
	static struct secretreport report;
	uint64_t now = clock_now_us();

	report_read(m, entry, &report);
	report_publish(m, entry->unit, &report);
	report_note(m, entry->unit, life, &report, now);
	life->work = LIFE_IDLE;
	if (life->flags & LIFE_KEPT)
		say_failure(m, entry->unit, life);
	if (life->status == 0 && (report.flags & SECRETREPORT_CHANGED))
		note_change(m, entry->unit, life, now);
	secrets_publish(m, entry->unit, life);
	fetch_drop(m, entry->unit, 1 - (life->side & 1));
}

static void send_signal(struct manager *m, uint32_t unit)
{
	int signal = (int)plan_unit(&m->plan, unit)->change_signal;
	int32_t pid = manager_pid(m, unit, SLOT_MAIN);
	int pidfd = m->runtime[unit].pidfd[SLOT_MAIN];

	if (pid <= 0)
		return;
	if (pidfd < 0 || sys_pidfd_send_signal(pidfd, signal, NULL, 0) < 0)
		(void)kill(pid, signal);
	event_with_i64("signal", signal);
	event_emit(EVENT_NOTICE, "secrets-delivered", plan_unit_name(&m->plan, unit),
		   "its new secrets are in place and it was told");
}

static void deliver_later(struct board_life *life)
{
	uint64_t delay =
		spread_backoff(++life->failed_deliveries, REPORT_BACKOFF_US, 0, spread_draw());

	life->apply_us = clock_add_us(clock_now_us(), delay);
}

/* At least once: a death between the signal and the record sends it again. */
static void apply_delivery(struct manager *m, const struct journal_entry *entry,
			   struct board_life *life)
{
	bool is_down = unit_is_down((enum unit_state)record_of(m, entry->unit)->state);

	life->work = LIFE_IDLE;
	if (entry->code == CLD_EXITED && entry->status == 0 && !is_down) {
		send_signal(m, entry->unit);
		CRASH_POINT("change-signalled");
		life->flags &= ~LIFE_STALE;
		life->failed_deliveries = 0;
	} else if (!is_down) {
		deliver_later(life);
	}
	secrets_publish(m, entry->unit, life);
	/* The unit has ended meanwhile, and what it left was removed. */
	if (is_down)
		spawn_clean_up(&m->spawner, entry->unit);
}

void life_ended(struct manager *m, const struct journal_entry *entry)
{
	if (!secrets_has_any(m, entry->unit))
		return;
	struct board_life life = secrets_life(m, entry->unit);
	if (entry->seq > life.applied) {
		life.applied = entry->seq;
		if (life.work == LIFE_REFRESHING) {
			apply_refresh(m, entry, &life);
		} else if (life.work == LIFE_DELIVERING) {
			apply_delivery(m, entry, &life);
		} else {
			life.work = life.work == LIFE_REVOKING ? LIFE_REVOKED : life.work;
			secrets_publish(m, entry->unit, &life);
		}
	}
	turns_give(m);
	if (record_of(m, entry->unit)->state == UNIT_FETCHING)
		manager_retry_soon(m, entry->unit);
	life_update(m, entry->unit);
}

/* ---- a change, and the end of a lease */

/* Down and up again, by nobody's fault. */
static void restart(struct manager *m, uint32_t unit, uint32_t drop)
{
	struct board_unit record = *record_of(m, unit);
	int next = unit_next((enum unit_state)record.state, EVENT_UNIT_STOP);

	record.flags &= ~drop;
	if (record.goal != GOAL_UP || next < 0 || unit_is_going((enum unit_state)record.state) ||
	    record.state == UNIT_AUTO_RESTART) {
		manager_publish(m, unit, &record);
		return;
	}
	record.flags |= BOARD_UNIT_RESTARTING | BOARD_UNIT_PLANNED;
	transition_advance(m, unit, &record, EVENT_UNIT_STOP);
}

static bool is_other_being_changed(const struct manager *m, uint32_t unit)
{
	for (uint32_t i = 0; i < m->n_units; i++) {
		if (i != unit && (record_of(m, i)->flags & BOARD_UNIT_PLANNED))
			return true;
	}
	return false;
}

static void deliver(struct manager *m, uint32_t unit, struct board_life *life)
{
	int *pidfd = &m->runtime[unit].pidfd[SLOT_REFRESH];

	life->apply_us = USEC_INFINITY;
	life->work = LIFE_DELIVERING;
	secrets_publish(m, unit, life);
	*pidfd = fd_close(*pidfd);
	int r = spawn_delivery(&m->spawner, unit, manager_secret_fd(m, unit), pidfd);
	CRASH_POINT("delivery-spawned");
	if (r == 0)
		return;
	event_emit(EVENT_WARNING, "secrets-not-delivered", plan_unit_name(&m->plan, unit),
		   "no process can be had that writes its new secrets: %s", strerror(-r));
	life->work = LIFE_IDLE;
	deliver_later(life);
	secrets_publish(m, unit, life);
}

static void apply_change(struct manager *m, uint32_t unit, struct board_life *life, uint64_t now)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);
	bool is_up = unit_is_up((enum unit_state)record_of(m, unit)->state);

	if (!is_up || is_other_being_changed(m, unit)) {
		life->apply_us = now + TURN_US;
		secrets_publish(m, unit, life);
	} else if (plan->on_change == CHANGE_SIGNAL) {
		deliver(m, unit, life);
	} else {
		/* The restart clears this, too; without it one that is refused would come again. */
		life->apply_us = USEC_INFINITY;
		secrets_publish(m, unit, life);
		restart(m, unit, 0);
	}
}

static void expire(struct manager *m, uint32_t unit, struct board_life *life)
{
	event_emit(EVENT_ERROR, "secrets-expired", plan_unit_name(&m->plan, unit),
		   "what its secrets were lent for has ended and could not be renewed: it is "
		   "started afresh");
	life->lease_end_us = USEC_INFINITY;
	secrets_publish(m, unit, life);
	restart(m, unit, BOARD_UNIT_SECRETS_READY);
}

/* ---- time */

/* The unit lives on the values that it has. */
static bool is_in_use(const struct board_unit *record)
{
	enum unit_state state = (enum unit_state)record->state;

	return (record->flags & BOARD_UNIT_SECRETS_READY) && !unit_is_down(state) &&
	       !unit_is_going(state) && state != UNIT_FETCHING;
}

static uint64_t due_of(const struct manager *m, uint32_t unit, const struct board_life *life)
{
	const struct board_unit *record = record_of(m, unit);

	if (manager_pid(m, unit, SLOT_REFRESH) > 0)
		return life->deadline_us;
	if (record->state == UNIT_FETCHING)
		return manager_pid(m, unit, SLOT_HELPER) > 0 ? life->deadline_us
		       : life->attempts > 0		     ? life->due_us
							     : USEC_INFINITY;
	if (!is_in_use(record) || manager_is_stopping(m))
		return USEC_INFINITY;
	uint64_t first = MIN(life->apply_us, life->lease_end_us);
	return m->runtime[unit].waits_for_turn ? first : MIN(first, life->due_us);
}

void life_update(struct manager *m, uint32_t unit)
{
	if (!secrets_has_any(m, unit))
		return;
	struct board_life life = secrets_life(m, unit);
	bool is_orphaned = (life.work == LIFE_REFRESHING || life.work == LIFE_DELIVERING) &&
			   manager_pid(m, unit, SLOT_REFRESH) <= 0;
	if (is_orphaned) {
		*(life.work == LIFE_DELIVERING ? &life.apply_us : &life.due_us) = clock_now_us();
		life.work = LIFE_IDLE;
		secrets_publish(m, unit, &life);
	}
	m->runtime[unit].secrets_due_us = due_of(m, unit, &life);
	manager_update_due(m, unit);
}

static void look_beside(struct manager *m, uint32_t unit, struct board_life *life, uint64_t now)
{
	if (life->lease_end_us <= now)
		expire(m, unit, life);
	else if (life->apply_us <= now)
		apply_change(m, unit, life, now);
	else if (life->due_us <= now && turns_take(m, unit))
		begin_work(m, unit, life, SECRETS_REFRESH, SECRETS_RUN_MS);
}

void life_check_time(struct manager *m, uint32_t unit, uint64_t now)
{
	static const enum board_slot slots[] = {SLOT_REFRESH, SLOT_HELPER};

	if (m->runtime[unit].secrets_due_us > now)
		return;
	m->runtime[unit].secrets_due_us = USEC_INFINITY;
	struct board_life life = secrets_life(m, unit);
	for (size_t i = 0; i < ARRAY_COUNT(slots); i++) {
		if (manager_pid(m, unit, slots[i]) > 0 && life.deadline_us <= now) {
			life.deadline_us = USEC_INFINITY;
			secrets_publish(m, unit, &life);
			end_helper(m, unit, slots[i]);
		}
	}
	if (record_of(m, unit)->state == UNIT_FETCHING)
		transition_resume(m, unit);
	else if (is_in_use(record_of(m, unit)) && !turns_is_running(m, unit) &&
		 !manager_is_stopping(m))
		look_beside(m, unit, &life, now);
	life_update(m, unit);
}

/* ---- the end */

/* Only Vault lends; and only to who has fetched. */
static bool has_loans(const struct manager *m, uint32_t unit)
{
	struct plan_range range = range_of(m, unit);

	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		if (str_starts(plan_string(&m->plan, plan_secret(&m->plan, i)->reference),
			       "vault:"))
			return m->runtime[unit].state_fd >= 0;
	}
	return false;
}

bool life_revoke_all(struct manager *m, uint64_t deadline_us)
{
	uint64_t now = clock_now_us();
	bool is_done = true;

	for (uint32_t unit = 0; unit < m->n_units && now < deadline_us; unit++) {
		if (!secrets_has_any(m, unit) || !has_loans(m, unit))
			continue;
		struct board_life life = secrets_life(m, unit);
		if (life.work != LIFE_REVOKED && !turns_is_running(m, unit) && turns_take(m, unit))
			begin_work(m, unit, &life, SECRETS_REVOKE,
				   MIN(secrets_left_ms(now, deadline_us), SECRETS_RUN_MS));
		is_done = is_done && life.work == LIFE_REVOKED;
	}
	return is_done;
}

/* With what the machine says of itself filled in, as far as that is known: into text, or the plan's own. */
static const char *reference_as_asked(const struct manager *m, uint32_t secret, struct strbuf *text)
{
	char reason[1];
	struct strbuf ignored;

	strbuf_init(&ignored, reason, sizeof(reason));
	const char *reference = identity_fill(m, secret, text, &ignored);
	return reference ? reference
			 : plan_string(&m->plan, plan_secret(&m->plan, secret)->reference);
}

void life_say_cause(const struct manager *m, uint32_t unit, struct strbuf *buf)
{
	static const char *const whys[SECRET_OUTCOME_COUNT] = {
		[SECRET_NOT_FOUND] = "was not found",
		[SECRET_DENIED] = "may not be read",
		[SECRET_MALFORMED] = "is not what it must be",
		[SECRET_TEMPORARY] = "cannot be had now",
		[SECRET_UNREACHABLE] = "is kept by a service that cannot be reached",
		[SECRET_FAILED] = "could not be read",
	};
	struct plan_range range = range_of(m, unit);
	char data[SECRETREQUEST_REFERENCE_MAX];
	struct strbuf text;

	strbuf_init(&text, data, sizeof(data));
	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		const struct board_secret *secret = board_peek_secret(&m->board, i);
		const struct plan_secret *plan = plan_secret(&m->plan, i);
		if (secret->outcome == SECRET_OK ||
		    (secret->flags & (BOARD_SECRET_ABSENT | BOARD_SECRET_KEPT)))
			continue;
		const char *name = plan_string(&m->plan, plan->name);
		strbuf_addf(buf, ": secret %s%s(%.300s) %s", name, *name ? " " : "",
			    reference_as_asked(m, i, &text), whys[secret->outcome]);
		return;
	}
}
