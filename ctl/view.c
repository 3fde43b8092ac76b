#include "ctl/view.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "ctl/process.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"

static const char *const signal_names[] = {
	[SIGHUP] = "SIGHUP",	   [SIGINT] = "SIGINT",	      [SIGQUIT] = "SIGQUIT",
	[SIGILL] = "SIGILL",	   [SIGTRAP] = "SIGTRAP",     [SIGABRT] = "SIGABRT",
	[SIGBUS] = "SIGBUS",	   [SIGFPE] = "SIGFPE",	      [SIGKILL] = "SIGKILL",
	[SIGUSR1] = "SIGUSR1",	   [SIGSEGV] = "SIGSEGV",     [SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE",	   [SIGALRM] = "SIGALRM",     [SIGTERM] = "SIGTERM",
	[SIGSTKFLT] = "SIGSTKFLT", [SIGCHLD] = "SIGCHLD",     [SIGCONT] = "SIGCONT",
	[SIGSTOP] = "SIGSTOP",	   [SIGTSTP] = "SIGTSTP",     [SIGTTIN] = "SIGTTIN",
	[SIGTTOU] = "SIGTTOU",	   [SIGURG] = "SIGURG",	      [SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ",	   [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF",
	[SIGWINCH] = "SIGWINCH",   [SIGIO] = "SIGIO",	      [SIGPWR] = "SIGPWR",
	[SIGSYS] = "SIGSYS",
};

/* What can go wrong between fork and exec, by systemd's numbers from 200 on. */
static const char *const setup_names[] = {
	"CHDIR",
	"NICE",
	"FDS",
	"EXEC",
	"MEMORY",
	"LIMITS",
	"OOM_ADJUST",
	"SIGNAL_MASK",
	"STDIN",
	"STDOUT",
	"CHROOT",
	"IOPRIO",
	"TIMERSLACK",
	"SECUREBITS",
	"SETSCHEDULER",
	"CPUAFFINITY",
	"GROUP",
	"USER",
	"CAPABILITIES",
	"CGROUP",
	"SETSID",
	"CONFIRM",
	"STDERR",
	NULL,
	"PAM",
	"NETWORK",
	"NAMESPACE",
	"NO_NEW_PRIVILEGES",
	"SECCOMP",
	"SELINUX_CONTEXT",
	"PERSONALITY",
	"APPARMOR_PROFILE",
	"ADDRESS_FAMILIES",
	"RUNTIME_DIRECTORY",
	NULL,
	"CHOWN",
	"SMACK_PROCESS_LABEL",
	"KEYRING",
	"STATE_DIRECTORY",
	"CACHE_DIRECTORY",
	"LOGS_DIRECTORY",
	"CONFIGURATION_DIRECTORY",
	"NUMA_POLICY",
	"CREDENTIALS",
};

/* The result of the last run, for who looks at the table. */
static const char *const result_words[RESULT_COUNT] = {
	[RESULT_PROTOCOL] = "it broke the protocol of its Type=",
	[RESULT_TIMEOUT] = "it took too long",
	[RESULT_EXIT_CODE] = "it ended with a failure",
	[RESULT_SIGNAL] = "it was killed by a signal",
	[RESULT_CORE_DUMP] = "it crashed",
	[RESULT_WATCHDOG] = "its watchdog was not fed",
	[RESULT_START_LIMIT] = "it was restarted too often",
	[RESULT_OOM_KILL] = "the kernel killed it for its memory",
	[RESULT_RESOURCES] = "there was no process or memory for it",
	[RESULT_CONDITION] = "a condition does not hold",
	[RESULT_ASSERT] = "an assertion does not hold",
	[RESULT_DEPENDENCY] = "a unit that it requires failed",
	[RESULT_SECRETS] = "its secrets could not be had",
	[RESULT_PROBE] = "its probe failed",
};

void view_signal(struct strbuf *buf, int signal)
{
	if (signal > 0 && (size_t)signal < ARRAY_COUNT(signal_names) && signal_names[signal])
		strbuf_adds(buf, signal_names[signal]);
	else
		strbuf_addf(buf, "signal %d", signal);
}

const char *view_setup_name(int status)
{
	if (status < 200 || status >= 200 + (int)ARRAY_COUNT(setup_names))
		return NULL;
	return setup_names[status - 200];
}

const char *view_phase(const struct board_manager *manager)
{
	return manager->phase < BOARD_PHASE_COUNT ? board_phase_names[manager->phase] : "unknown";
}

/* As health's /readyz judges (health/snapshot.c): it did its work, or a condition said no. */
static bool is_done(const struct plan_unit *unit, const struct board_unit *record)
{
	if (record->state != UNIT_INACTIVE)
		return false;
	if (record->flags & BOARD_UNIT_CONDITION_UNMET)
		return true;
	return unit->type == SERVICE_ONESHOT && record->result == RESULT_SUCCESS &&
	       (record->active_us != 0 ||
		(record->flags & (BOARD_UNIT_MAIN_EXITED | BOARD_UNIT_SETTLED)));
}

static bool is_up(const struct plan *plan, const struct plan_unit *unit,
		  const struct board_unit *record)
{
	if (record->state == UNIT_EXITED)
		return true;
	if (record->state != UNIT_RUNNING)
		return is_done(unit, record);
	return plan_unit_probe(plan, unit, PROBE_READINESS)->type == PROBE_NONE ||
	       (record->flags & BOARD_UNIT_READY) != 0;
}

void view_read(const struct instance *instance, uint32_t unit, struct view *ret_view)
{
	struct view view = {
		.index = unit,
		.unit = plan_unit(&instance->plan, unit),
		.name = plan_unit_name(&instance->plan, unit),
		.record = board_read_unit(&instance->board, unit),
		.pid = atomic_load_explicit(&instance->board.slots[unit][SLOT_MAIN],
					    memory_order_relaxed),
	};
	bool is_known = view.record.state < UNIT_STATE_COUNT;

	view.state = is_known ? unit_state_names[view.record.state] : "unknown";
	view.active = is_known ? unit_active_names[view.record.state] : "unknown";
	view.result = view.record.result < RESULT_COUNT ? unit_result_names[view.record.result]
							: "unknown";
	view.counts = (view.unit->flags & (UNIT_WANTED | UNIT_ESSENTIAL)) != 0;
	view.is_up = is_up(&instance->plan, view.unit, &view.record);
	*ret_view = view;
}

/* Whether the cgroup is the unit's own: one that it shares with PID 1 says nothing of it. */
static bool read_own_cgroup(int32_t pid, uint64_t *ret_bytes)
{
	char own[1024], first[1024];

	return process_cgroup(pid, own, sizeof(own)) == 0 &&
	       (process_cgroup(1, first, sizeof(first)) < 0 || !str_equal(own, first)) &&
	       cgroup_number(own, "memory.current", ret_bytes) == 0;
}

void view_measure(const struct instance *instance, struct view *view)
{
	struct process process;

	(void)instance;
	if (view->pid <= 0)
		return;
	if (read_own_cgroup(view->pid, &view->memory)) {
		view->memory_source = "cgroup";
	} else if (process_read(view->pid, &process) == 0) {
		view->memory = process.resident;
		view->memory_source = "process";
	}
}

void view_last_exit(const struct view *view, struct strbuf *buf)
{
	const struct board_unit *record = &view->record;

	if (record->exec_error != 0) {
		const char *name = view_setup_name(record->exec_error);
		strbuf_addf(buf, "%d%s%s", record->exec_error, name ? "/" : "", name ? name : "");
	} else if (record->exit_code == CLD_EXITED) {
		strbuf_addf(buf, "exited %d", record->exit_status);
	} else if (record->exit_code == CLD_KILLED || record->exit_code == CLD_DUMPED) {
		view_signal(buf, record->exit_status);
	}
}

uint32_t view_failed_dependency(const struct instance *instance, uint32_t unit)
{
	static const enum unit_relation relations[] = {REL_REQUIRES, REL_BINDS_TO, REL_REQUISITE};

	for (size_t r = 0; r < ARRAY_COUNT(relations); r++) {
		struct plan_list list = plan_unit(&instance->plan, unit)->relations[relations[r]];
		for (uint32_t i = 0; i < list.count; i++) {
			uint32_t other = plan_list_get(&instance->plan, list, i);
			if (board_read_unit(&instance->board, other).state == UNIT_FAILED)
				return other;
		}
	}
	return PLAN_NO_UNIT;
}

void view_why(const struct instance *instance, const struct view *view, struct strbuf *buf)
{
	uint32_t result = view->record.result;

	if (view->record.flags & BOARD_UNIT_CONDITION_UNMET) {
		strbuf_adds(buf, result_words[RESULT_CONDITION]);
		return;
	}
	if (result == RESULT_DEPENDENCY) {
		uint32_t other = view_failed_dependency(instance, view->index);
		if (other != PLAN_NO_UNIT) {
			strbuf_addf(buf, "%s, which it requires, failed",
				    plan_unit_name(&instance->plan, other));
			return;
		}
	}
	bool is_signal = result == RESULT_SIGNAL || result == RESULT_CORE_DUMP;
	if (is_signal && view->record.exit_status == SIGSYS) {
		strbuf_adds(buf, "it was killed by a filter of system calls");
		return;
	}
	if (view->record.exec_error == 203)
		strbuf_adds(buf, "its program cannot be executed");
	else if (view->record.exec_error != 0)
		strbuf_adds(buf, "its process could not be set up");
	else if (result < RESULT_COUNT && result_words[result])
		strbuf_adds(buf, result_words[result]);
}

void view_text(const struct instance *instance, const struct view *view, struct strbuf *buf)
{
	const char *text = instance->board.units[view->index].text;
	char copy[BOARD_TEXT_MAX];

	/* It changes under our eyes: judge and print the same bytes. */
	memcpy(copy, text, sizeof(copy));
	json_printable(buf, copy, strnlen(copy, sizeof(copy)));
}

void view_bytes(struct strbuf *buf, uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	uint64_t scale = 1024;
	size_t i = 0;

	if (bytes < 1024) {
		strbuf_addf(buf, "%llu", (unsigned long long)bytes);
		return;
	}
	while (i + 2 < sizeof(units) && bytes / 1024 >= scale) {
		scale *= 1024;
		i++;
	}
	uint64_t tenths = bytes / (scale / 1024) * 10 / 1024;
	strbuf_addf(buf, "%llu.%llu%c", (unsigned long long)(tenths / 10),
		    (unsigned long long)(tenths % 10), units[i]);
}

void view_duration(struct strbuf *buf, uint64_t us)
{
	static const struct {
		uint64_t seconds;
		const char *name, *below;
		uint64_t below_seconds;
	} scales[] = {
		{86400, "d", "h", 3600},
		{3600, "h", "min", 60},
		{60, "min", "s", 1},
	};
	uint64_t seconds = us / USEC_PER_SEC;

	for (size_t i = 0; i < ARRAY_COUNT(scales); i++) {
		if (seconds < scales[i].seconds)
			continue;
		uint64_t rest = seconds % scales[i].seconds / scales[i].below_seconds;
		strbuf_addf(buf, "%llu%s", (unsigned long long)(seconds / scales[i].seconds),
			    scales[i].name);
		if (rest > 0)
			strbuf_addf(buf, " %llu%s", (unsigned long long)rest, scales[i].below);
		return;
	}
	if (seconds > 0)
		strbuf_addf(buf, "%llus", (unsigned long long)seconds);
	else
		strbuf_addf(buf, "%llums", (unsigned long long)(us / USEC_PER_MSEC));
}

static void add_last(const struct gate_refusal *last, struct strbuf *line)
{
	json_key(line, "last");
	json_object_begin(line);
	json_add_time(line, "time", last->wall_us);
	json_add_string(line, "outcome", gate_counter_names[last->counter]);
	json_add_i64(line, "pid", last->pid);
	json_add_u64(line, "uid", last->uid);
	json_add_string(line, "exe", last->exe);
	json_object_end(line);
}

void view_gate(const struct instance *instance, struct strbuf *line)
{
	if (!instance->gate)
		return;
	struct gate_refusal last = gateboard_read_refusal(instance->gate);
	json_key(line, "gate");
	json_object_begin(line);
	for (enum gate_counter i = 0; i < GATE_COUNTER_COUNT; i++)
		json_add_u64(line, gate_counter_names[i], gateboard_count(instance->gate, i));
	if (last.wall_us != 0)
		add_last(&last, line);
	json_object_end(line);
}
