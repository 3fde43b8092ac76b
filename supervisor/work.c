#include "supervisor/work.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "supervisor/secrets.h"
#include "supervisor/spawn.h"
#include "supervisor/stop.h"

const struct plan_exec *work_current_command(const struct manager *m, uint32_t unit,
					     const struct board_unit *record)
{
	int phase = unit_entries[record->state].phase;

	if (phase < 0)
		return NULL;
	struct plan_range range = plan_unit(&m->plan, unit)->exec[phase];
	return record->command < range.count ? plan_exec(&m->plan, range.first + record->command)
					     : NULL;
}

/* A forking service's first process is not its main process; in START every other one is. */
enum board_slot work_slot(const struct manager *m, uint32_t unit, enum unit_state state)
{
	return state == UNIT_START && plan_unit(&m->plan, unit)->type != SERVICE_FORKING
		       ? SLOT_MAIN
		       : SLOT_CONTROL;
}

const char *work_exit_word(int code)
{
	switch (code) {
	case CLD_EXITED: return "exited";
	case CLD_DUMPED: return "dumped";
	default: return "killed";
	}
}

/* The first of the states on the way up that has commands at all. */
static bool is_first_command(const struct manager *m, uint32_t unit,
			     const struct board_unit *record)
{
	static const enum unit_state states[] = {UNIT_CONDITION, UNIT_START_PRE, UNIT_START};
	const struct plan_unit *plan = plan_unit(&m->plan, unit);

	for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
		if (plan->exec[unit_entries[states[i]].phase].count > 0)
			return record->state == states[i] && record->command == 0;
	}
	return false;
}

static int spawn_command(struct manager *m, uint32_t unit, const struct board_unit *record,
			 const struct plan_exec *exec)
{
	enum board_slot slot = work_slot(m, unit, (enum unit_state)record->state);
	char status[16];
	struct spawn_request request = {
		.unit = unit,
		.slot = slot,
		.exec = exec,
		.phase = (enum exec_phase)unit_entries[record->state].phase,
		.is_first = is_first_command(m, unit, record),
		.run = record->started_us,
		.main_pid = slot == SLOT_MAIN ? 0 : manager_pid(m, unit, SLOT_MAIN),
		.may_fly = record->state == UNIT_START &&
			   plan_unit(&m->plan, unit)->type != SERVICE_EXEC,
		.secret_fd = manager_secret_fd(m, unit),
	};

	if (record->state == UNIT_STOP || record->state == UNIT_STOP_POST) {
		request.result = unit_result_names[record->result];
		if (record->flags & BOARD_UNIT_MAIN_EXITED) {
			(void)snprintf(status, sizeof(status), "%d", record->exit_status);
			request.exit_code = work_exit_word(record->exit_code);
			request.exit_status = status;
		}
	}
	CRASH_POINT("spawn-before");
	m->runtime[unit].pidfd[slot] = fd_close(m->runtime[unit].pidfd[slot]);
	int r = spawn_process(&m->spawner, &request, &m->runtime[unit].pidfd[slot]);
	CRASH_POINT("spawn-after");
	return r;
}

/* Whether the process of the slot has ended already (its entry in the journal is on its way). */
static bool has_ended(const struct manager *m, uint32_t unit, enum board_slot slot)
{
	struct pollfd poll_pidfd = {.fd = m->runtime[unit].pidfd[slot], .events = POLLIN};

	return poll_pidfd.fd >= 0 && poll(&poll_pidfd, 1, 0) > 0;
}

int work_after_spawn(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	if (record->state != UNIT_START)
		return NO_EVENT;
	switch ((enum service_type)plan_unit(&m->plan, unit)->type) {
	case SERVICE_SIMPLE: return EVENT_UNIT_DONE;
	case SERVICE_EXEC: return has_ended(m, unit, SLOT_MAIN) ? NO_EVENT : EVENT_UNIT_DONE;
	default: return NO_EVENT;
	}
}

static int after_start_post(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);
	bool is_process = plan->kind == UNIT_SERVICE && plan->type != SERVICE_ONESHOT;

	if (plan->kind != UNIT_SERVICE || (is_process && !(record->flags & BOARD_UNIT_MAIN_EXITED)))
		return EVENT_UNIT_DONE;
	return plan->flags & UNIT_REMAIN_AFTER_EXIT ? EVENT_UNIT_DONE_EXITED : EVENT_UNIT_DONE_OVER;
}

/* What ends the state when its last command has ended well. */
int work_after_commands(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	return record->state == UNIT_START_POST ? after_start_post(m, unit, record)
						: EVENT_UNIT_DONE;
}

void work_fail(struct board_unit *record, enum unit_result result)
{
	if (record->result == RESULT_SUCCESS)
		record->result = result;
}

static int begin_command(struct manager *m, uint32_t unit, struct board_unit *record)
{
	const struct plan_exec *exec = work_current_command(m, unit, record);

	if (!exec)
		return work_after_commands(m, unit, record);
	int r = spawn_command(m, unit, record, exec);
	if (r < 0) {
		event_emit(EVENT_ERROR, "spawn-failed", plan_unit_name(&m->plan, unit),
			   "cannot start %s: %s", plan_string(&m->plan, exec->path), strerror(-r));
		work_fail(record, RESULT_RESOURCES);
		return EVENT_UNIT_FAIL;
	}
	if (work_slot(m, unit, (enum unit_state)record->state) == SLOT_MAIN) {
		/* It leads a session of its own. */
		record->session = manager_pid(m, unit, SLOT_MAIN);
		manager_publish(m, unit, record);
	}
	return work_after_spawn(m, unit, record);
}

/* The instance's drain comes before all stops; a unit that goes down by itself has its own. */
bool work_is_drained(const struct manager *m, uint32_t unit)
{
	return !manager_is_stopping(m) && plan_unit(&m->plan, unit)->drain_us > 0;
}

/* Begins the work of the record's state. Returns the event that ends it at once, or none. */
int work_begin(struct manager *m, uint32_t unit, struct board_unit *record)
{
	if (unit_entries[record->state].phase >= 0)
		return begin_command(m, unit, record);
	if (unit_entries[record->state].kill)
		return stop_begin(m, unit, record);
	if (record->state == UNIT_FETCHING)
		return secrets_begin(m, unit, record);
	if (record->state == UNIT_DRAIN && !work_is_drained(m, unit))
		return EVENT_UNIT_DONE;
	/* The main process may have ended while the commands after the start ran. */
	if (record->state == UNIT_RUNNING && (record->flags & BOARD_UNIT_MAIN_EXITED))
		return EVENT_UNIT_MAIN_OK;
	return NO_EVENT;
}
