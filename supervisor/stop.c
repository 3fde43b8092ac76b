#include "supervisor/stop.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/sys.h"
#include "supervisor/cgroup.h"
#include "supervisor/outcome.h"
#include "supervisor/spawn.h"

static int stop_signal(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);

	if (unit_entries[record->state].kill == SIGKILL)
		return (int)plan->final_kill_signal;
	if (record->state == UNIT_FINAL_SIGTERM)
		return SIGTERM;
	if (record->flags & BOARD_UNIT_WATCHDOG_BIT)
		return (int)plan->watchdog_signal;
	bool is_restart = record->flags & BOARD_UNIT_RESTARTING;
	return (int)(is_restart && plan->restart_kill_signal ? plan->restart_kill_signal
							     : plan->kill_signal);
}

static void signal_slot(const struct manager *m, uint32_t unit, enum board_slot slot, int signal)
{
	int32_t pid = manager_pid(m, unit, slot);
	int pidfd = m->runtime[unit].pidfd[slot];

	if (pid <= 0)
		return;
	/* Without pidfds (an old kernel) the pid is still ours until PID 1 has reaped it. */
	if (pidfd < 0 || (sys_pidfd_send_signal(pidfd, signal, NULL, 0) < 0 && errno != ESRCH))
		(void)kill(pid, signal);
}

/*
 * What a unit has beside its slots is found in its cgroup, or without cgroups by a look at every
 * process there is. When the whole instance stops and a thousand units do so at once, that look is
 * too dear, and the process group of the main process will do: whatever escapes it is PID 1's to
 * end, a moment later.
 */
static bool uses_group(const struct manager *m, const struct board_unit *record)
{
	return m->spawner.cgroup_fd < 0 && manager_is_stopping(m) && record->session > 0;
}

/* The main process is signalled with its group, and so only once. */
static bool is_main_in_group(const struct manager *m, uint32_t unit,
			     const struct board_unit *record)
{
	return getpgid(manager_pid(m, unit, SLOT_MAIN)) == record->session;
}

static void signal_processes(const struct manager *m, uint32_t unit,
			     const struct board_unit *record, int signal)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);
	bool is_last = unit_entries[record->state].kill == SIGKILL;
	bool is_all =
		plan->kill_mode == KILL_CONTROL_GROUP || (plan->kill_mode == KILL_MIXED && is_last);
	bool is_group = is_all && uses_group(m, record);

	/* Where all are signalled the group is too: nobody gets a signal twice. */
	if ((plan->flags & UNIT_KILL_GROUP) && !is_all)
		(void)unit_kill(&m->spawner, unit, record->session, KILL_WHO_MAIN, signal);
	else if (!is_group || !is_main_in_group(m, unit, record))
		signal_slot(m, unit, SLOT_MAIN, signal);
	signal_slot(m, unit, SLOT_CONTROL, signal);
	signal_slot(m, unit, SLOT_HELPER, signal);
	if (is_group)
		(void)kill(-record->session, signal);
	else if (is_all)
		(void)unit_kill(&m->spawner, unit, record->session, KILL_WHO_REST, signal);
}

/* The signal of a stage, to whom systemd.kill(5), KillMode=, says. */
static void kill_processes(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	int signal = stop_signal(m, unit, record);

	if (plan_unit(&m->plan, unit)->kill_mode == KILL_NONE)
		return;
	/* One that has just been cloned has no session yet. */
	spawn_land(&m->spawner);
	signal_processes(m, unit, record, signal);
	if (signal == SIGKILL)
		return;
	if (plan_unit(&m->plan, unit)->flags & UNIT_SEND_SIGHUP)
		signal_processes(m, unit, record, SIGHUP);
	/* A stopped process would keep the signal for later. */
	signal_processes(m, unit, record, SIGCONT);
}

static bool has_process_in_slot(const struct manager *m, uint32_t unit)
{
	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		if (slot != SLOT_REFRESH && manager_pid(m, unit, (enum board_slot)slot) > 0)
			return true;
	}
	return false;
}

/* Whether the stop of the unit still has to wait for a process. */
static bool has_processes(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	uint32_t mode = plan_unit(&m->plan, unit)->kill_mode;

	if (mode == KILL_NONE || plan_unit(&m->plan, unit)->kind != UNIT_SERVICE)
		return false;
	if (has_process_in_slot(m, unit))
		return true;
	if (mode == KILL_PROCESS || record->session <= 0)
		return false;
	if (uses_group(m, record))
		return kill(-record->session, 0) == 0 || errno != ESRCH;
	return unit_count_processes(&m->spawner, unit, record->session) > 0;
}

/* How a unit ends of which no process is left. */
enum unit_event stop_end_event(struct manager *m, uint32_t unit, struct board_unit *record)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);
	bool is_wanted = record->goal == GOAL_UP;
	bool is_held_down = record->flags & BOARD_UNIT_RESTARTING;

	record->flags &= ~(BOARD_UNIT_RESTARTING | BOARD_UNIT_WATCHDOG_BIT);
	if (record->flags & BOARD_UNIT_CONDITION_UNMET)
		return EVENT_UNIT_END_CLEAN;
	if (is_wanted && is_held_down && (record->flags & BOARD_UNIT_PLANNED))
		return EVENT_UNIT_END_RESTART;
	if (is_wanted && is_held_down && record->result == RESULT_SUCCESS)
		return EVENT_UNIT_END_AGAIN;
	if (is_wanted && outcome_wants_restart(plan, plan_unit_statuses(&m->plan, plan), record))
		return EVENT_UNIT_END_RESTART;
	record->flags |= is_wanted ? BOARD_UNIT_SETTLED : 0;
	return record->result == RESULT_SUCCESS ? EVENT_UNIT_END_CLEAN : EVENT_UNIT_END_FAILED;
}

/* With KillMode=mixed nobody asks the rest to end: once the main process is gone there is nothing
 * to wait for, and what it has left is killed (as systemd does, whose TERM finds nobody then). */
static void kill_orphans(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);

	if (plan->kill_mode == KILL_MIXED && (plan->flags & UNIT_SEND_SIGKILL))
		(void)unit_kill(&m->spawner, unit, record->session, KILL_WHO_REST,
				(int)plan->final_kill_signal);
}

/* The event of a killing stage that finds nothing left to kill. */
static int say_empty(struct manager *m, uint32_t unit, struct board_unit *record)
{
	if (record->state == UNIT_FINAL_SIGTERM || record->state == UNIT_FINAL_SIGKILL)
		return (int)stop_end_event(m, unit, record);
	return EVENT_UNIT_EMPTY;
}

static int wait_for_the_rest(struct manager *m, uint32_t unit, const struct board_unit *record)
{
	/* What stands in no slot ends without an event. */
	if (!has_process_in_slot(m, unit)) {
		kill_orphans(m, unit, record);
		manager_retry_soon(m, unit);
	}
	return NO_EVENT;
}

int stop_when_empty(struct manager *m, uint32_t unit, struct board_unit *record)
{
	return has_processes(m, unit, record) ? wait_for_the_rest(m, unit, record)
					      : say_empty(m, unit, record);
}

int stop_begin(struct manager *m, uint32_t unit, struct board_unit *record)
{
	/* Some programs take a second TERM for impatience: a successor does not send it again. */
	bool was_sent = (record->flags & BOARD_UNIT_SIGNALLED) &&
			unit_entries[record->state].kill != SIGKILL;

	if (!has_processes(m, unit, record))
		return say_empty(m, unit, record);
	if (!was_sent) {
		CRASH_POINT("kill-before");
		kill_processes(m, unit, record);
		CRASH_POINT("kill-after");
		record->flags |= BOARD_UNIT_SIGNALLED;
		manager_publish(m, unit, record);
	}
	return wait_for_the_rest(m, unit, record);
}
