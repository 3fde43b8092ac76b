#include "supervisor/instance.h"

#include <signal.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "lib/signals.h"
#include "lib/str.h"
#include "lib/termination.h"
#include "supervisor/goal.h"
#include "supervisor/outcome.h"
#include "supervisor/probe.h"
#include "supervisor/life.h"
#include "supervisor/setup.h"

#define STATUS_KILLED 137 /* 128 + SIGKILL */
#define REVOKE_US     (5 * USEC_PER_SEC)

static const struct board_manager *now_of(const struct manager *m)
{
	return board_peek_manager(&m->board);
}

void instance_tell_phase(const struct manager *m)
{
	(void)eventfd_write(m->event_phase, 1);
}

static void enter_phase(struct manager *m, struct board_manager *next, enum board_phase phase)
{
	next->phase = phase;
	CRASH_POINT(board_phase_names[phase]);
	board_write_manager(&m->board, next);
	CRASH_POINT("phase-published");
	instance_tell_phase(m);
	event_with_string("phase", board_phase_names[phase]);
	event_emit(EVENT_NOTICE, "phase", NULL, "the instance is %s", board_phase_names[phase]);
}

void instance_begin(struct manager *m)
{
	struct board_manager next = *now_of(m);

	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		if (plan_unit(&m->plan, unit)->flags & UNIT_WANTED)
			goal_want(m, unit);
	}
	enter_phase(m, &next, BOARD_STARTING);
}

/* ---- the stop */

static void stop_units(struct manager *m, struct board_manager *next)
{
	next->deadline_us = USEC_INFINITY;
	enter_phase(m, next, BOARD_STOPPING);
	for (uint32_t unit = 0; unit < m->n_units; unit++)
		goal_unwant(m, unit);
}

/* The instance drains once, for as long as the unit that needs it longest; the units' own drains
 * are for stops while the instance lives on. */
static uint64_t drain_of(const struct manager *m)
{
	uint64_t drain = m->plan.header->drain_us;

	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		if (unit_is_up((enum unit_state)board_peek_unit(&m->board, unit)->state))
			drain = MAX(drain, plan_unit(&m->plan, unit)->drain_us);
	}
	return MIN(drain, m->plan.header->stop_timeout_us / 2);
}

static void begin_stop(struct manager *m, struct board_manager *next, bool skip_drain)
{
	uint64_t now = clock_now_us();
	uint64_t drain = skip_drain ? 0 : drain_of(m);

	if (next->stop_us == 0)
		next->stop_us = now;
	if (drain == 0) {
		stop_units(m, next);
		return;
	}
	next->deadline_us = clock_add_us(now, drain);
	enter_phase(m, next, BOARD_DRAINING);
}

static bool asks_for_stop(int signal)
{
	return signal == SIGTERM || signal == SIGINT || signal == SIGQUIT || signal == SIGPWR ||
	       (signal >= SIGNALS_RTMIN + 3 && signal <= SIGNALS_RTMIN + 5);
}

void instance_apply_signal(struct manager *m, const struct journal_entry *entry)
{
	struct board_manager next = *now_of(m);

	/* With the change that it makes, so that no signal is applied twice. */
	next.cursor = entry->seq;
	if (!asks_for_stop(entry->code)) {
		board_write_manager(&m->board, &next);
		event_with_i64("signal", entry->code);
		event_emit(EVENT_NOTICE, "signal-ignored", NULL,
			   "signal %d changes nothing: an instance is replaced, not reloaded",
			   entry->code);
		return;
	}
	next.stop_count++;
	if (next.phase >= BOARD_STOPPING) {
		board_write_manager(&m->board, &next);
		return;
	}
	if (next.signal == 0)
		next.signal = (uint32_t)entry->code;
	event_with_i64("signal", entry->code);
	event_emit(EVENT_NOTICE, "stop-asked", NULL, "asked to stop by signal %d", entry->code);
	begin_stop(m, &next, next.phase == BOARD_DRAINING || next.phase == BOARD_BOOTING);
}

void instance_check_time(struct manager *m, uint64_t now)
{
	struct board_manager next = *now_of(m);

	if (next.phase == BOARD_DRAINING && next.deadline_us <= now)
		stop_units(m, &next);
}

/* ---- what the units' states mean for the whole */

/* The sentence for people who look from outside and see nothing else. */
static void say_cause(const struct manager *m, uint32_t unit, const struct board_unit *record,
		      int status)
{
	char text[1024 + BOARD_FAILURE_MAX], failure[BOARD_FAILURE_MAX];
	const char *setup = setup_status_name(record->exec_error);
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	strbuf_addf(&buf, "%s ended (%s", plan_unit_name(&m->plan, unit),
		    unit_result_names[record->result]);
	if (record->flags & BOARD_UNIT_MAIN_EXITED)
		strbuf_addf(&buf, record->exit_code == CLD_EXITED ? ", status %d" : ", signal %d",
			    record->exit_status);
	if (setup)
		strbuf_addf(&buf, ", set-up step %s", setup);
	strbuf_addf(&buf, ") after %u restarts; the instance ends with status %d", record->restarts,
		    status);
	board_read_failure(&m->board, unit, failure);
	if (record->result == RESULT_SECRETS)
		life_say_cause(m, unit, &buf);
	if ((setup || record->result == RESULT_SECRETS) && failure[0])
		strbuf_addf(&buf, ": %s", failure);
	strbuf_addc(&buf, '\n');
	termination_write(text);
	event_with_string("result", unit_result_names[record->result]);
	event_with_i64("status", status);
	event_emit(record->result == RESULT_SUCCESS ? EVENT_NOTICE : EVENT_ERROR, "instance-ends",
		   plan_unit_name(&m->plan, unit), "%.*s", (int)strcspn(text, "\n"), text);
}

static void end_because_of(struct manager *m, uint32_t unit)
{
	struct board_manager next = *now_of(m);
	const struct board_unit *record = board_peek_unit(&m->board, unit);

	next.cause_unit = unit;
	next.cause = record->result;
	next.exit_status = (uint32_t)outcome_instance_status(m->plan.header,
							     plan_unit(&m->plan, unit), record);
	say_cause(m, unit, record, (int)next.exit_status);
	CRASH_POINT("cause-told");
	begin_stop(m, &next, true);
}

struct survey {
	bool is_pending; /* a wanted unit is neither up nor settled */
	bool is_all_down;
	bool is_anything_up; /* a service, or something that may start one */
	bool was_killed;     /* an essential unit had to be */
	uint32_t ended;	     /* whose end ends the instance, or PLAN_NO_UNIT */
	uint32_t failed;     /* a failed unit, or PLAN_NO_UNIT */
};

static struct survey take_survey(const struct manager *m)
{
	struct survey survey = {.is_all_down = true, .ended = PLAN_NO_UNIT, .failed = PLAN_NO_UNIT};

	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		const struct board_unit *record = board_peek_unit(&m->board, unit);
		const struct plan_unit *plan = plan_unit(&m->plan, unit);
		enum unit_state state = (enum unit_state)record->state;
		bool is_down = unit_is_down(state);
		if (!is_down)
			survey.is_all_down = false;
		/* What the machine said of itself is kept, and is no work. */
		if (!is_down && plan->kind != UNIT_TARGET && unit != m->plan.header->identity_unit)
			survey.is_anything_up = true;
		if (record->goal == GOAL_UP && !(record->flags & BOARD_UNIT_SETTLED) &&
		    (!unit_is_up(state) || probe_holds_startup(m, unit)))
			survey.is_pending = true;
		if ((plan->flags & UNIT_ESSENTIAL) && (record->flags & BOARD_UNIT_KILLED))
			survey.was_killed = true;
		if (survey.ended == PLAN_NO_UNIT &&
		    outcome_ends_instance(plan, record) != ACTION_NONE)
			survey.ended = unit;
		if (survey.failed == PLAN_NO_UNIT && state == UNIT_FAILED)
			survey.failed = unit;
	}
	return survey;
}

/* The status of a stop that was asked for: the main command's own, or 0, or 137. */
static uint32_t status_of_stop(const struct manager *m, const struct survey *survey)
{
	uint32_t main_unit = m->plan.header->main_unit;

	if (main_unit != PLAN_NO_UNIT)
		return (uint32_t)outcome_instance_status(m->plan.header,
							 plan_unit(&m->plan, main_unit),
							 board_peek_unit(&m->board, main_unit));
	return survey->was_killed ? STATUS_KILLED : 0;
}

/* What was lent with the units' secrets is given back while the budget lasts. True when that is
 * over. */
static bool give_back(struct manager *m, struct board_manager *next)
{
	uint64_t deadline = next->deadline_us;

	if (deadline == USEC_INFINITY)
		deadline = MIN(clock_now_us() + REVOKE_US, manager_stop_deadline(m));
	if (life_revoke_all(m, deadline))
		return true;
	if (next->deadline_us != deadline) {
		next->deadline_us = deadline;
		board_write_manager(&m->board, next);
	}
	return false;
}

static void finish(struct manager *m, const struct survey *survey)
{
	struct board_manager next = *now_of(m);

	if (next.cause_unit == PLAN_NO_UNIT)
		next.exit_status = status_of_stop(m, survey);
	event_with_i64("status", next.exit_status);
	event_emit(EVENT_NOTICE, "instance-stopped", NULL,
		   "everything is down; the instance ends with status %u", next.exit_status);
	m->must_stop_looking = true;
	enter_phase(m, &next, BOARD_STOPPED);
}

/* Every wanted unit has ended and nothing can start another: the work is done. */
static void end_for_want_of_work(struct manager *m, const struct survey *survey)
{
	struct board_manager next = *now_of(m);

	if (survey->failed != PLAN_NO_UNIT) {
		end_because_of(m, survey->failed);
		return;
	}
	event_emit(EVENT_NOTICE, "work-done", NULL, "every unit has ended well");
	begin_stop(m, &next, true);
}

void instance_settle(struct manager *m)
{
	struct board_manager next = *now_of(m);
	struct survey survey = take_survey(m);

	if (next.phase == BOARD_STOPPING && survey.is_all_down) {
		if (give_back(m, &next))
			finish(m, &survey);
		return;
	}
	if (next.phase >= BOARD_STOPPING)
		return;
	if (survey.ended != PLAN_NO_UNIT) {
		end_because_of(m, survey.ended);
		return;
	}
	if (survey.is_pending)
		return;
	if (next.phase == BOARD_STARTING) {
		next.ready_us = clock_now_us();
		enter_phase(m, &next, BOARD_RUNNING);
	}
	if (!survey.is_anything_up)
		end_for_want_of_work(m, &survey);
}
