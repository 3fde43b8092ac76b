#include "supervisor/exits.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "lib/sys.h"
#include "supervisor/cgroup.h"
#include "supervisor/outcome.h"
#include "supervisor/probe.h"
#include "supervisor/life.h"
#include "supervisor/secrets.h"
#include "supervisor/setup.h"
#include "supervisor/stop.h"
#include "supervisor/transition.h"
#include "supervisor/work.h"

#define FIRST_SETUP_STATUS 200 /* systemd.exec(5): statuses of a failed set-up start here */

static void note_main_exit(struct board_unit *record, const struct journal_entry *entry)
{
	record->flags |= BOARD_UNIT_MAIN_EXITED;
	record->exit_code = entry->code;
	record->exit_status = entry->status;
	record->cpu_us += entry->user_us + entry->system_us;
	record->max_rss_kb = MAX(record->max_rss_kb, entry->max_rss_kb);
	record->exec_error = entry->code == CLD_EXITED && entry->status >= FIRST_SETUP_STATUS &&
					     setup_status_name(entry->status)
				     ? entry->status
				     : 0;
}

static bool is_by_filter(const struct journal_entry *entry)
{
	return (entry->code == CLD_KILLED || entry->code == CLD_DUMPED) && entry->status == SIGSYS;
}

static void tell_exit(const struct manager *m, const struct journal_entry *entry,
		      enum unit_result result, const char *what)
{
	const char *setup = entry->code == CLD_EXITED ? setup_status_name(entry->status) : NULL;

	if (result == RESULT_SUCCESS)
		return;
	event_with_i64("pid", entry->pid);
	event_with_string("code", work_exit_word(entry->code));
	event_with_i64("status", entry->status);
	if (setup)
		event_with_string("setup", setup);
	event_emit(EVENT_WARNING, "process-ended", plan_unit_name(&m->plan, entry->unit),
		   "%s %s, status %d%s", what, work_exit_word(entry->code), entry->status,
		   is_by_filter(entry) ? " (SIGSYS: a filter of system calls)" : "");
}

/* The event of a command's end, for commands that run one after another. */
static enum unit_event command_event(const struct manager *m, uint32_t unit,
				     const struct board_unit *record)
{
	struct plan_range range =
		plan_unit(&m->plan, unit)->exec[unit_entries[record->state].phase];

	if (record->command + 1 < range.count)
		return EVENT_UNIT_NEXT;
	return (enum unit_event)work_after_commands(m, unit, record);
}

/* Of which the kernel may have been the reason, and not we. */
static bool is_kill(const struct journal_entry *entry, enum unit_result result)
{
	return result == RESULT_SIGNAL && entry->status == SIGKILL;
}

static void apply_main_exit(struct manager *m, const struct journal_entry *entry,
			    struct board_unit *record)
{
	const struct plan_unit *plan = plan_unit(&m->plan, entry->unit);
	enum unit_result result = outcome_of_exit(plan, plan_unit_statuses(&m->plan, plan),
						  entry->code, entry->status);
	if (is_kill(entry, result) && cgroup_has_oom_kill(&m->spawner, entry->unit))
		result = RESULT_OOM_KILL;
	const struct plan_exec *exec = work_current_command(m, entry->unit, record);
	bool is_step = record->state == UNIT_START && plan->type == SERVICE_ONESHOT;

	tell_exit(m, entry, result, "the main process");
	note_main_exit(record, entry);
	if (is_step && exec && (exec->flags & EXEC_IGNORE_FAILURE))
		result = RESULT_SUCCESS;
	work_fail(record, result);
	if (result != RESULT_SUCCESS) {
		transition_advance(m, entry->unit, record, EVENT_UNIT_MAIN_FAIL);
	} else if (is_step) {
		transition_advance(m, entry->unit, record, command_event(m, entry->unit, record));
	} else if (record->state == UNIT_START) {
		/* It left before it was ready: systemd's word for that is "protocol". */
		work_fail(record, RESULT_PROTOCOL);
		transition_advance(m, entry->unit, record, EVENT_UNIT_MAIN_OK);
	} else {
		bool remains =
			(plan->flags & UNIT_REMAIN_AFTER_EXIT) &&
			unit_next((enum unit_state)record->state, EVENT_UNIT_MAIN_REMAIN) >= 0;
		transition_advance(m, entry->unit, record,
				   remains ? EVENT_UNIT_MAIN_REMAIN : EVENT_UNIT_MAIN_OK);
	}
}

/* A forking service is started once its pid file names a child of PID 1. */
static bool find_forked_main(struct manager *m, uint32_t unit)
{
	const char *path = plan_string(&m->plan, plan_unit(&m->plan, unit)->pid_file);
	char text[32];

	if (!*path)
		return true;
	ssize_t n = io_read_file(AT_FDCWD, path, text, sizeof(text));
	if (n <= 0)
		return false;
	char *end;
	errno = 0;
	long pid = strtol(text, &end, 10);
	if (errno || end == text || pid <= 1 || pid > INT32_MAX)
		return false;
	return exits_adopt_pid(m, unit, (int32_t)pid);
}

void exits_wait_for_pid_file(struct manager *m, uint32_t unit, struct board_unit *record)
{
	record->flags |= BOARD_UNIT_FORKED;
	manager_publish(m, unit, record);
	CRASH_POINT("forked");
	if (find_forked_main(m, unit))
		transition_raise(m, unit, EVENT_UNIT_DONE);
	else
		manager_retry_soon(m, unit);
}

/* A process whose state was left before it ended: it only counts as gone. */
static void note_gone(struct manager *m, uint32_t unit, struct board_unit *record)
{
	manager_publish(m, unit, record);
	if (!unit_entries[record->state].kill)
		return;
	int event = stop_when_empty(m, unit, record);
	if (event != NO_EVENT)
		transition_advance(m, unit, record, (enum unit_event)event);
}

/* ExecCondition=, systemd.service(5): 1 to 254 says no, and that is no failure. */
static bool is_skip(const struct board_unit *record, const struct journal_entry *entry)
{
	return record->state == UNIT_CONDITION && entry->code == CLD_EXITED && entry->status > 0 &&
	       entry->status < 255;
}

static void apply_control_exit(struct manager *m, const struct journal_entry *entry,
			       struct board_unit *record)
{
	const struct plan_exec *exec = work_current_command(m, entry->unit, record);
	enum unit_result result = outcome_of_command(entry->code, entry->status);

	if (exec && is_skip(record, entry)) {
		transition_advance(m, entry->unit, record, EVENT_UNIT_SKIP);
		return;
	}
	tell_exit(m, entry, result, exec ? plan_string(&m->plan, exec->path) : "a command");
	if (!exec) {
		note_gone(m, entry->unit, record);
		return;
	}
	if (exec->flags & EXEC_IGNORE_FAILURE)
		result = RESULT_SUCCESS;
	if (result != RESULT_SUCCESS) {
		work_fail(record, result);
		if (!(record->flags & BOARD_UNIT_MAIN_EXITED))
			note_main_exit(record, entry);
		transition_advance(m, entry->unit, record, EVENT_UNIT_FAIL);
	} else if (record->state == UNIT_START) {
		exits_wait_for_pid_file(m, entry->unit, record);
	} else {
		transition_advance(m, entry->unit, record, command_event(m, entry->unit, record));
	}
}

static void apply_helper_exit(struct manager *m, const struct journal_entry *entry,
			      struct board_unit *record)
{
	if (record->state != UNIT_FETCHING) {
		note_gone(m, entry->unit, record);
		return;
	}
	int event = secrets_fetched(m, entry, record);
	if (event == NO_EVENT)
		manager_publish(m, entry->unit, record);
	else
		transition_advance(m, entry->unit, record, (enum unit_event)event);
	life_update(m, entry->unit);
}

static void apply_refresh_exit(struct manager *m, const struct journal_entry *entry,
			       struct board_unit *record)
{
	life_ended(m, entry);
	note_gone(m, entry->unit, record);
}

/* Of an Exec= probe. */
static void apply_probe_exit(struct manager *m, const struct journal_entry *entry,
			     struct board_unit *record)
{
	note_gone(m, entry->unit, record);
	probe_note_exit(m, entry);
}

void exits_apply(struct manager *m, const struct journal_entry *entry)
{
	static void (*const appliers[SLOT_COUNT])(struct manager *, const struct journal_entry *,
						  struct board_unit *) = {
		[SLOT_MAIN] = apply_main_exit,	     [SLOT_CONTROL] = apply_control_exit,
		[SLOT_HELPER] = apply_helper_exit,   [SLOT_SPARE] = apply_probe_exit,
		[SLOT_REFRESH] = apply_refresh_exit,
	};

	if (entry->unit >= m->n_units || entry->slot >= SLOT_COUNT)
		return;
	struct board_unit record = *board_peek_unit(&m->board, entry->unit);
	if (entry->seq <= record.applied)
		return;
	/* The slot first: a death between the two finds the entry again, and its unit with it. */
	int32_t pid = entry->pid;
	bool was_there =
		atomic_compare_exchange_strong(&m->board.slots[entry->unit][entry->slot], &pid, 0);
	board_copy_slots(&m->board, entry->unit);
	CRASH_POINT("exit-slot-cleared");
	/* A pid that MAINPID= or the pid file has meanwhile replaced. */
	if (!was_there && pid != 0)
		return;
	m->runtime[entry->unit].pidfd[entry->slot] =
		fd_close(m->runtime[entry->unit].pidfd[entry->slot]);
	record.applied = entry->seq;
	appliers[entry->slot](m, entry, &record);
}

/* Its commands may keep root's rights where the unit has a user: then its processes are root's. */
static bool has_full_rights(const struct manager *m, uint32_t unit)
{
	struct plan_range range = plan_unit(&m->plan, unit)->exec[EXEC_START];

	for (uint32_t i = 0; i < range.count; i++) {
		if (plan_exec(&m->plan, range.first + i)->flags & EXEC_FULL_RIGHTS)
			return true;
	}
	return false;
}

/*
 * An orphan whose parent is now PID 1, of the unit's own user: whatever is adopted is signalled with
 * our rights, so a service could otherwise have us end what it may not touch (log, health, us).
 */
static bool may_be_main(const struct manager *m, uint32_t unit, int32_t pid)
{
	uint32_t wanted = plan_unit(&m->plan, unit)->uid, uid;
	struct proc_stat stat;

	CLEANUP(fd_closep) int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0 || pid == getpid() || proc_read_stat(proc, pid, &stat) < 0 ||
	    stat.parent != getppid() || proc_read_uid(proc, pid, &uid) < 0)
		return false;
	return wanted == PLAN_NO_ID || wanted == m->spawner.uid || wanted == uid ||
	       has_full_rights(m, unit);
}

/* A pid may be given anew once its process is reaped: the pidfd stays the old one's. */
static bool is_gone(int32_t pid, int pidfd)
{
	return (pidfd >= 0 ? sys_pidfd_send_signal(pidfd, 0, NULL, 0) : kill(pid, 0)) < 0 &&
	       errno == ESRCH;
}

bool exits_adopt_pid(struct manager *m, uint32_t unit, int32_t pid)
{
	uint32_t other, slot;

	if (board_find_pid(&m->board, pid, &other, &slot))
		return other == unit && slot == SLOT_MAIN;
	CLEANUP(fd_closep) int pidfd = sys_pidfd_open(pid, 0);
	if ((pidfd < 0 && errno == ESRCH) || !may_be_main(m, unit, pid))
		return false;
	CRASH_POINT("pid-found");
	_Atomic int32_t *main_slot = &m->board.slots[unit][SLOT_MAIN];
	int32_t before = atomic_exchange(main_slot, pid);
	CRASH_POINT("pid-slotted");
	/* It may have ended and been reaped, as nobody's, before it stood in the slot. */
	if (is_gone(pid, pidfd)) {
		atomic_store(main_slot, before);
		return false;
	}
	m->runtime[unit].pidfd[SLOT_MAIN] = fd_close(m->runtime[unit].pidfd[SLOT_MAIN]);
	m->runtime[unit].pidfd[SLOT_MAIN] = fd_steal(&pidfd);
	struct board_unit record = *board_peek_unit(&m->board, unit);
	record.session = getsid(pid);
	manager_publish(m, unit, &record);
	CRASH_POINT("pid-adopted");
	return true;
}
