#include "supervisor/outcome.h"

#include <signal.h>
#include <sys/wait.h>

#include "lib/clock.h"
#include "supervisor/unit.h"

#define STATUS_EXEC	     203 /* systemd.exec(5): EXIT_EXEC */
#define STATUS_NOT_FOUND     127
#define STATUS_SIGNAL_OFFSET 128
#define STATUS_FAILURE	     1
#define STATUS_UNIT_OWN	     256

/* The signals that count as a clean end of a daemon: systemd.service(5), SuccessExitStatus=. */
static bool is_clean_signal(int signal)
{
	return signal == SIGHUP || signal == SIGINT || signal == SIGTERM || signal == SIGPIPE;
}

static enum unit_result result_of(int code)
{
	switch (code) {
	case CLD_KILLED: return RESULT_SIGNAL;
	case CLD_DUMPED: return RESULT_CORE_DUMP;
	default: return RESULT_EXIT_CODE;
	}
}

enum unit_result outcome_of_exit(const struct plan_unit *unit, const struct plan_statuses *statuses,
				 int code, int status)
{
	bool is_clean = code == CLD_EXITED ? status == 0
					   : code == CLD_KILLED && unit->type != SERVICE_ONESHOT &&
						     is_clean_signal(status);

	if (is_clean || plan_status_has(&statuses->success, code, status))
		return RESULT_SUCCESS;
	return result_of(code);
}

enum unit_result outcome_of_command(int code, int status)
{
	return code == CLD_EXITED && status == 0 ? RESULT_SUCCESS : result_of(code);
}

/* The table of systemd.service(5), "Exit causes and the effect of the Restart= settings". */
static bool policy_covers(enum restart_policy policy, enum unit_result result, bool is_abort)
{
	switch (policy) {
	case RESTART_ALWAYS: return true;
	case RESTART_ON_SUCCESS: return result == RESULT_SUCCESS;
	case RESTART_ON_FAILURE: return result != RESULT_SUCCESS;
	case RESTART_ON_ABNORMAL: return result != RESULT_SUCCESS && result != RESULT_EXIT_CODE;
	case RESTART_ON_WATCHDOG: return result == RESULT_WATCHDOG || result == RESULT_PROBE;
	case RESTART_ON_ABORT: return is_abort;
	default: return false;
	}
}

bool outcome_wants_restart(const struct plan_unit *unit, const struct plan_statuses *statuses,
			   const struct board_unit *state)
{
	bool has_exit = state->flags & BOARD_UNIT_MAIN_EXITED;

	if (state->result == RESULT_CONDITION || state->result == RESULT_ASSERT ||
	    state->result == RESULT_DEPENDENCY || state->result == RESULT_START_LIMIT)
		return false;
	if (has_exit &&
	    plan_status_has(&statuses->restart_prevent, state->exit_code, state->exit_status))
		return false;
	if (has_exit &&
	    plan_status_has(&statuses->restart_force, state->exit_code, state->exit_status))
		return true;
	bool is_abort = state->result == RESULT_SIGNAL || state->result == RESULT_CORE_DUMP;
	return policy_covers(unit->restart, state->result, is_abort);
}

uint64_t outcome_restart_delay(const struct plan_unit *unit, uint32_t restarts)
{
	uint64_t delay = unit->restart_us;

	for (uint32_t i = 0; i < restarts && delay < unit->restart_max_us; i++)
		delay = delay ? delay * 2 : USEC_PER_MSEC;
	return unit->restart_max_us > unit->restart_us && delay > unit->restart_max_us
		       ? unit->restart_max_us
		       : delay;
}

bool outcome_start_allowed(const struct plan_unit *unit, struct board_unit *state, uint64_t now_us)
{
	if (unit->start_limit_burst == 0 || unit->start_limit_interval_us == 0)
		return true;
	if (state->limit_count == 0 ||
	    now_us - state->limit_since_us > unit->start_limit_interval_us) {
		state->limit_since_us = now_us;
		state->limit_count = 0;
	}
	if (state->limit_count >= unit->start_limit_burst)
		return false;
	state->limit_count++;
	return true;
}

static int status_of_end(const struct board_unit *state)
{
	if (state->exec_error)
		return state->exec_error;
	if (state->flags & BOARD_UNIT_MAIN_EXITED) {
		if (state->exit_code != CLD_EXITED)
			return STATUS_SIGNAL_OFFSET + state->exit_status;
		if (state->exit_status != 0 || state->result == RESULT_SUCCESS)
			return state->exit_status;
	}
	return state->result == RESULT_SUCCESS ? 0 : STATUS_FAILURE;
}

enum unit_action outcome_ends_instance(const struct plan_unit *unit, const struct board_unit *state)
{
	if (!(state->flags & BOARD_UNIT_SETTLED) || (state->flags & BOARD_UNIT_CONDITION_UNMET) ||
	    !unit_is_down((enum unit_state)state->state))
		return ACTION_NONE;
	return (enum unit_action)(state->result == RESULT_SUCCESS ? unit->success_action
								  : unit->failure_action);
}

int outcome_instance_status(const struct plan_header *header, const struct plan_unit *unit,
			    const struct board_unit *state)
{
	uint32_t fixed =
		state->result == RESULT_SUCCESS ? unit->success_status : unit->failure_status;
	int status = fixed < STATUS_UNIT_OWN ? (int)fixed : status_of_end(state);

	if (!(unit->flags & UNIT_IS_MAIN))
		return status & 0xff;
	/* A command's own convention: 127 where a shell would say "not found". */
	if (status == STATUS_EXEC && (state->flags & BOARD_UNIT_MAIN_EXITED))
		status = STATUS_NOT_FOUND;
	return header->remap[status & 0xff];
}
