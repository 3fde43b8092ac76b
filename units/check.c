#include "units/check.h"

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"
#include "units/conf.h"
#include "units/load.h"
#include "units/values.h"

#define KILL_RESERVE_US (2 * USEC_PER_SEC) /* of the budget, for KILL and the dump */

static const struct where *at_of(const struct unit *unit, struct where *buffer)
{
	*buffer = unit->section_at.line ? unit->section_at : (struct where){.file = unit->file};
	return buffer;
}

/* ---------------------------------------------------------------- what follows from other keys */

static void settle_type(struct unit *unit)
{
	if (!unit->has_type && unit->exec[EXEC_START].count == 0)
		unit->plan.type = SERVICE_ONESHOT;
}

static void settle_times(struct unit *unit)
{
	struct plan_unit *plan = &unit->plan;

	if (!unit->has_start_timeout && plan->type == SERVICE_ONESHOT)
		plan->timeout_start_us = PLAN_INFINITY_US;
	if (!unit->has_abort_timeout)
		plan->timeout_abort_us = plan->timeout_stop_us;
	if (plan->restart_max_us < plan->restart_us)
		plan->restart_max_us = plan->restart_us;
	if (!unit->has_restart_kill_signal)
		plan->restart_kill_signal = plan->kill_signal;
	if (!unit->has_notify_access &&
	    (plan->type == SERVICE_NOTIFY || plan->watchdog_us != PLAN_INFINITY_US))
		plan->notify_access = NOTIFY_MAIN;
}

/*
 * An essential unit's end is the instance's. For one that is essential only because Units= names
 * it, that does not hold for a oneshot that has done its work.
 */
static void settle_actions(struct unit *unit)
{
	struct plan_unit *plan = &unit->plan;
	bool is_explicit = unit->is_essential == ANSWER_YES;
	bool by_default = unit->is_named && unit->is_essential == ANSWER_UNSET;

	if (unit->name.kind == UNIT_TARGET)
		return;
	if (is_explicit || by_default) {
		plan->flags |= UNIT_ESSENTIAL;
		if (!unit->has_failure_action)
			plan->failure_action = ACTION_EXIT;
		if (!unit->has_success_action && unit->name.kind == UNIT_SERVICE &&
		    (is_explicit || plan->type != SERVICE_ONESHOT))
			plan->success_action = ACTION_EXIT;
	}
	if (plan->failure_action != ACTION_NONE)
		plan->flags |= UNIT_ESSENTIAL;
}

/* ---------------------------------------------------------------- what cannot work */

static void check_commands(struct units *units, const struct unit *unit)
{
	const struct exec_lines *start = &unit->exec[EXEC_START];
	struct where at;

	if (start->count == 0 && unit->plan.type != SERVICE_ONESHOT)
		report_error(&units->report, at_of(unit, &at), "%s: no ExecStart=: expected one",
			     unit->name.full);
	else if (start->count == 0 && unit->exec[EXEC_STOP].count == 0 &&
		 unit->plan.success_action == ACTION_NONE)
		report_error(&units->report, at_of(unit, &at),
			     "%s: neither ExecStart= nor ExecStop=: expected a command",
			     unit->name.full);
	else if (start->count == 0 && !(unit->plan.flags & UNIT_REMAIN_AFTER_EXIT) &&
		 unit->plan.success_action == ACTION_NONE)
		report_error(&units->report, at_of(unit, &at),
			     "%s: ExecStop= without ExecStart=: expected RemainAfterExit=yes",
			     unit->name.full);
	if (start->count > 1 && unit->plan.type != SERVICE_ONESHOT)
		report_error(&units->report, &start->items[1].at,
			     "a second ExecStart=: expected one, or Type=oneshot, or an empty "
			     "ExecStart= before it in a drop-in");
}

static void check_type(struct units *units, const struct unit *unit)
{
	const struct plan_unit *plan = &unit->plan;

	if (plan->type == SERVICE_ONESHOT &&
	    (plan->restart == RESTART_ALWAYS || plan->restart == RESTART_ON_SUCCESS))
		report_error(&units->report, &unit->restart_at.at,
			     "Restart=%s does not go with Type=oneshot: expected no, on-failure, "
			     "on-abnormal, on-watchdog or on-abort",
			     unit->restart_at.text);
	if (plan->type == SERVICE_FORKING && !unit->pid_file.text)
		report_warning(&units->report, &unit->type_at,
			       "Type=forking without PIDFile=: which process is the main one is "
			       "guessed");
	if (!unit->has_type && unit->bus_name.text)
		report_warning(&units->report, &unit->bus_name.at,
			       "BusName= is not waited for, as there is no bus: the unit counts as "
			       "started at once");
}

/* systemd would make a terminal the service's own, for somebody to type at. */
static void check_input(struct units *units, const struct unit *unit)
{
	const char *input = unit->input.text;

	if (!input || !*input || strcmp(input, "null") == 0)
		return;
	if (str_starts(input, "tty"))
		check_refused(units, &unit->input.at,
			      arena_printf(&units->arena, "StandardInput=%s", input),
			      "somebody could type there, and nobody gets in: expected null");
	else
		report_warning(&units->report, &unit->input.at,
			       "\"%s\" is not honoured: the standard input of a service is null",
			       input);
}

static void check_probe(struct units *units, struct unit *unit, enum probe_kind kind)
{
	struct probe *probe = &unit->probes[kind];

	if (probe->at.line == 0)
		return;
	if (unit->name.kind != UNIT_SERVICE)
		report_error(&units->report, &probe->at, "a probe: expected it in a service");
	else if (probe->type == PROBE_NONE)
		report_error(&units->report, &probe->at,
			     "a probe without a question: expected HTTPGet=, TCPSocket= or Exec=");
	if (kind != PROBE_READINESS && probe->success_threshold != 1)
		report_error(&units->report, &probe->at,
			     "SuccessThreshold=%u: expected 1 for liveness and startup, as in "
			     "Kubernetes",
			     probe->success_threshold);
	if (probe->period_us < USEC_PER_SEC / 10 || probe->period_us == PLAN_INFINITY_US ||
	    probe->timeout_us == 0 || probe->timeout_us == PLAN_INFINITY_US)
		report_error(&units->report, &probe->at,
			     "expected PeriodSec= of at least 100ms and TimeoutSec= above 0");
}

static void check_socket(struct units *units, const struct unit *unit)
{
	struct where at;

	if (unit->listeners.count == 0)
		report_error(&units->report, at_of(unit, &at),
			     "%s: no address: expected ListenStream=, ListenDatagram= or "
			     "ListenSequentialPacket=",
			     unit->name.full);
}

void check_unit(struct units *units, struct unit *unit)
{
	if (unit->is_foreign || unit->is_masked || unit->is_missing)
		return;
	if (unit->name.kind == UNIT_SERVICE) {
		settle_type(unit);
		settle_times(unit);
	}
	settle_actions(unit);
	if (unit->name.kind == UNIT_SERVICE) {
		check_commands(units, unit);
		check_type(units, unit);
		check_input(units, unit);
	}
	if (unit->name.kind == UNIT_SOCKET)
		check_socket(units, unit);
	for (int kind = 0; kind < PROBE_KIND_COUNT; kind++)
		check_probe(units, unit, (enum probe_kind)kind);
}

/* ---------------------------------------------------------------- the stop budget */

/* What unit and those that must be stopped after it need: the units that it was started after.
 * Only what somebody wrote counts: the default of 90 s is clipped without a word. */
static uint64_t stop_time(struct units *units, uint64_t *memo, uint32_t index)
{
	const struct unit *unit = units->items[index];
	const struct indices *after = &unit->related[REL_AFTER];
	uint64_t longest = 0, own = unit->has_stop_timeout ? unit->plan.timeout_stop_us : 0;

	if (memo[index] != PLAN_INFINITY_US - 1)
		return memo[index];
	/* A cycle was said already; here it only must not be walked for ever. */
	memo[index] = 0;
	for (size_t i = 0; i < after->count; i++)
		longest = MAX(longest, stop_time(units, memo, after->items[i]));
	memo[index] = clock_add_us(own, longest);
	return memo[index];
}

/* At the stop of the instance all are drained at once, for as long as the longest asks for
 * (supervisor/instance.c). */
static uint64_t drain_time(const struct units *units)
{
	uint64_t longest = units->conf.drain_us;

	for (uint32_t i = 0; i < units->count; i++)
		longest = MAX(longest, units->items[i]->plan.drain_us);
	return longest;
}

static void say_over_budget(struct units *units, const struct unit *unit, uint64_t stop_us,
			    uint64_t drain_us)
{
	char time[64] = "for ever";
	struct where at;

	if (clock_add_us(stop_us, drain_us) != PLAN_INFINITY_US)
		(void)snprintf(time, sizeof(time), "%llu s",
			       (unsigned long long)((stop_us + drain_us) / USEC_PER_SEC));
	report_warning(&units->report, at_of(unit, &at),
		       "%s, with what is stopped after it%s, may take %s to stop: it will be "
		       "clipped to StopTimeoutSec= (%llu s), its last 2 s kept for KILL and the "
		       "dump",
		       unit->name.full, drain_us ? " and the drain" : "", time,
		       (unsigned long long)(units->conf.stop_timeout_us / USEC_PER_SEC));
}

void check_stop_budget(struct units *units)
{
	uint64_t budget = units->conf.stop_timeout_us, drain = drain_time(units), worst = 0;
	uint64_t *memo = arena_alloc(&units->arena, (units->count + 1) * sizeof(*memo));
	const struct unit *found = NULL;

	for (uint32_t i = 0; i < units->count; i++)
		memo[i] = PLAN_INFINITY_US - 1;
	for (uint32_t i = 0; i < units->count; i++) {
		uint64_t time = stop_time(units, memo, i);
		if (!found || time > worst) {
			worst = time;
			found = units->items[i];
		}
	}
	if (found && budget != PLAN_INFINITY_US &&
	    clock_add_us(clock_add_us(worst, drain), KILL_RESERVE_US) > budget)
		say_over_budget(units, found, worst, drain);
}

/* ---------------------------------------------------------------- a wrapped secret_id */

static const struct secret *find_vault_secret(const struct unit *unit)
{
	for (size_t i = 0; i < unit->secrets.count; i++) {
		if (str_starts(unit->secrets.items[i].reference, "vault:"))
			return &unit->secrets.items[i];
	}
	return NULL;
}

/* By another way to log in nobody asks for a secret_id. */
static bool is_wrapped(const struct units *units)
{
	const char *auth = conf_secret_setting(units, "HOLDFAST_VAULT_AUTH");
	const char *wrapped = conf_secret_setting(units, "HOLDFAST_VAULT_WRAPPED");
	bool is_true = false;

	return auth && strcmp(auth, "approle") == 0 && wrapped &&
	       str_parse_bool(wrapped, &is_true) == 0 && is_true;
}

/* Each unit has a session of its own, which no other sees: the second to log in would find the
 * wrapping token used, and call it tampering. */
void check_wrapped(struct units *units)
{
	const struct unit *first = NULL;

	for (size_t i = 0; is_wrapped(units) && i < units->count; i++) {
		const struct unit *unit = units->items[i];
		const struct secret *secret = find_vault_secret(unit);
		if (!secret || unit->is_masked)
			continue;
		if (first)
			report_error(&units->report, &secret->at,
				     "%s has a reference to Vault, and so has %s, but a wrapped "
				     "secret_id (VaultWrapped=) can be taken out once, by one "
				     "unit: expected VaultTokenFile= of an agent, or a secret_id "
				     "that is not wrapped",
				     unit->name.full, first->name.full);
		else
			first = unit;
	}
}

void check_refused(struct units *units, const struct where *at, const char *what,
		   const char *refusal)
{
	if (units->public_conf.shells_must_be_refused)
		report_error(&units->report, at, "%s is refused: %s", what, refusal);
	else
		report_warning(&units->report, at, "%s would be refused but for Shells=warn: %s",
			       what, refusal);
}
