/*
 * Why it is done so:
 *
 * - Nothing tells of a new process without privilege; but something does of whoever comes (trigger.c).
 * - /proc/loadavg ends with the last pid given out in the reader's own namespace, threads included: 2 µs
 *   say that nothing happened. A pid is given out before its process can be seen, so what was given out
 *   is looked for again until SETTLE_US later.
 * - Whoever is found is pinned (pidfd) and judged once more, then killed. All that one look found is
 *   found before the first is killed, while children still have their parents.
 *
 * What it costs is bounded: looks are rare unless somebody comes, the frequent ones begin at most every
 * HOT_APART_US, and after one that took long it rests in proportion.
 */
#include "gate/detect.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "lib/sys.h"

#define FOUND_MAX 64

/*
 * Whoever forks and ends, over and over, is at each moment somebody who has just come and is let be. No
 * more than this many orphans a second end like that otherwise: our own forks execute, and a runtime's
 * have no parent here. From then on no orphan is let be, until none ends like that any more; and whom
 * that does not catch within so long cannot be killed.
 */
#define VANISHED_MAX	   16
#define VANISHED_WITHIN_US (1 * USEC_PER_SEC)
#define PURSUIT_MAX_US	   (5 * USEC_PER_SEC)

/* How often it looks. */
#define HOT_FAST_US	200 /* in the first HOT_FAST_FOR_US after somebody knocked */
#define HOT_FAST_FOR_US (5 * USEC_PER_MSEC)
#define HOT_US		(1 * USEC_PER_MSEC) /* then, and while a process is young */
#define HOT_FOR_US	(100 * USEC_PER_MSEC)
#define HOT_APART_US	(250 * USEC_PER_MSEC)
#define STEP_MIN_US	(2 * USEC_PER_MSEC) /* after something was executed; doubled up to */
#define STEP_MAX_US	(50 * USEC_PER_MSEC)
#define MOVING_FOR_US	(1 * USEC_PER_SEC)    /* after the last new pid */
#define STEADY_US	(100 * USEC_PER_MSEC) /* where there is no inotify */
#define SETTLE_US	(200 * USEC_PER_MSEC)
/* After a look of so much CPU time it rests that many times as long: at most 2 % of a CPU. */
#define REST_FACTOR 49
#define REST_MAX_US (250 * USEC_PER_MSEC)

/* ---- opening */

static bool may_kill_all(void)
{
	struct sys_capabilities sets;

	return sys_capget(&sets) == 0 && (sets.effective & (UINT64_C(1) << CAP_KILL));
}

static void say(struct gate *gate, enum protection_level level, const char *rung, const char *why)
{
	gateboard_write_rung(gate->record, GATE_INTRUDERS, level, rung, why);
}

/* By what orphans are told apart, where they are not. */
static void say_unmarked(struct gate *gate, bool has_counts)
{
	char why[GATE_WHY_MAX];

	(void)snprintf(why, sizeof(why),
		       "%s may leave processes behind that have no seccomp filter",
		       gate->unmarked_unit == PLAN_NO_UNIT
			       ? "a unit"
			       : plan_unit_name(&gate->plan, gate->unmarked_unit));
	say(gate, PROTECTION_REDUCED, "killed while they have a parent",
	    has_counts ? why : "this kernel does not count seccomp filters (Linux 5.9 does)");
}

static void say_means(const struct detect *detect)
{
	struct gate *gate = detect->gate;

	if (gate->is_lenient)
		say(gate, PROTECTION_REDUCED, "reported", "Shells=warn");
	else if (!may_kill_all())
		say(gate, PROTECTION_REDUCED, "killed, or the instance ends",
		    "there is no CAP_KILL: who runs as another user cannot be killed");
	else if (detect->is_steady)
		say(gate, PROTECTION_REDUCED, "killed within 100 ms",
		    "no inotify is to be had here");
	else if (!detect->judge.are_orphans_marked || !detect->judge.has_counts)
		say_unmarked(gate, detect->judge.has_counts);
	else
		say(gate, PROTECTION_FULL, "killed", "");
}

/* Whoever has no more of them than these may be looked at (cap_ptrace_access_check() of the kernel). */
static uint64_t capabilities_seen(void)
{
	struct sys_capabilities sets = {0};

	(void)sys_capget(&sets);
	return sets.effective & (UINT64_C(1) << CAP_SYS_PTRACE) ? UINT64_MAX : sets.effective;
}

static int prepare_judge(struct detect *detect)
{
	struct gate *gate = detect->gate;
	struct stat st = {0}, stub = {0};

	(void)fstat(store_find(gate->store, STORE_EXEC, ROLE_CTL), &st);
	(void)fstat(store_find(gate->store, STORE_EXEC, STORE_EXEC_STUB), &stub);
	detect->judge = (struct judge){
		.proc_fd = gate->proc_fd,
		.board = &gate->board,
		.journal = gate->journal,
		.visitor_dev = st.st_dev,
		.visitor_ino = st.st_ino,
		.stub_dev = stub.st_dev,
		.stub_ino = stub.st_ino,
		.capabilities = capabilities_seen(),
		.are_orphans_marked = gate->unmarked_unit == PLAN_NO_UNIT,
	};
	return judge_prepare(&detect->judge);
}

bool detect_open(struct detect *detect, struct gate *gate)
{
	*detect = (struct detect){
		.gate = gate,
		.loadavg_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC),
	};
	/* It shows the PID namespace that we are in, and PID 1 is who started us. */
	if (detect->loadavg_fd < 0 || getppid() != 1 || proc_is_ours(gate->proc_fd) <= 0) {
		say(gate, PROTECTION_NONE, "not seen", "/proc does not show this PID namespace");
		return false;
	}
	if (proc_is_first_namespace(gate->proc_fd) > 0) {
		say(gate, PROTECTION_FULL, "nobody can come in", "");
		return false;
	}
	if (prepare_judge(detect) < 0) {
		say(gate, PROTECTION_NONE, "not seen", "/proc tells nothing of PID 1");
		return false;
	}
	visits_open(&detect->visits, gate);
	trigger_open(&detect->triggers, store_find(gate->store, STORE_EXEC_GATE, 0) >= 0);
	detect->is_steady = detect->triggers.fds[TRIGGER_ENTRY] < 0;
	say_means(detect);
	return true;
}

/* ---- who is there */

struct found {
	struct judge_result result;
	bool is_overdue; /* was young for too long */
	int pidfd;	 /* -EBADF: of a kernel without, or it is nobody to be refused */
	bool is_pinned;	 /* judged again, with the pidfd in hand */
};

struct look {
	struct found found[FOUND_MAX];
	uint32_t n_found;
};

static void add_young(struct detect *detect, const struct judge_result *result, uint64_t now_us)
{
	/* More of them than a machine full of runtimes has: the next look finds them again. */
	if (detect->n_young == DETECT_YOUNG_MAX)
		return;
	detect->young[detect->n_young++] = (struct detect_young){
		.pid = result->stat.pid,
		.start_ticks = result->stat.start_ticks,
		.executing_us = result->is_executing ? result->grace_us : 0,
		.is_orphan = result->is_orphan,
		.until_us = now_us + result->grace_us,
	};
}

static bool is_found(const struct look *look, int32_t pid)
{
	for (uint32_t i = 0; i < look->n_found; i++) {
		if (look->found[i].result.stat.pid == pid)
			return true;
	}
	return false;
}

static void add_found(struct look *look, const struct judge_result *result, bool is_overdue)
{
	if (look->n_found < FOUND_MAX && !is_found(look, result->stat.pid))
		look->found[look->n_found++] = (struct found){*result, is_overdue, -EBADF, false};
}

/* Those whom we let be start nobody: who is above an intruder is one too, whatever may be seen of its
 * program, and goes first. */
static void add_intruder(const struct detect *detect, struct look *look,
			 const struct judge_result *result)
{
	struct judge_result top;

	if (result->top != result->stat.pid) {
		enum judge_verdict verdict = judge_process(&detect->judge, result->top, &top);
		if (verdict == JUDGE_YOUNG || verdict == JUDGE_INTRUDER)
			add_found(look, &top, verdict == JUDGE_YOUNG);
	}
	add_found(look, result, false);
}

static void judge_new(struct detect *detect, struct look *look, int32_t pid)
{
	uint8_t *seen = &detect->seen[pid % DETECT_SEEN_BITS / 8];
	uint8_t bit = (uint8_t)(1U << (pid % 8));
	struct judge_result result;

	if (*seen & bit)
		return;
	enum judge_verdict verdict = judge_process(&detect->judge, pid, &result);
	if (verdict == JUDGE_YOUNG)
		add_young(detect, &result, clock_now_us());
	if (verdict == JUDGE_VISITOR)
		visits_note(&detect->visits, &result);
	if (verdict == JUDGE_INTRUDER)
		add_intruder(detect, look, &result);
	/* A room that is full is no verdict; and who is gone is not found again. */
	if (verdict != JUDGE_GONE && look->n_found < FOUND_MAX &&
	    detect->n_young < DETECT_YOUNG_MAX)
		*seen |= bit;
}

/* One that was young: true when it still is and has time. */
static bool is_still_young(struct detect *detect, struct look *look, struct detect_young *young,
			   uint64_t now_us)
{
	struct judge_result result;
	enum judge_verdict verdict = judge_process(&detect->judge, young->pid, &result);

	if (verdict == JUDGE_OURS)
		return false;
	/* Somebody else may have its pid by now: that one is found as a new one. */
	if (result.stat.start_ticks != young->start_ticks) {
		detect->n_vanished += young->is_orphan;
		return false;
	}
	if (verdict == JUDGE_VISITOR)
		visits_note(&detect->visits, &result);
	if (verdict == JUDGE_INTRUDER)
		add_intruder(detect, look, &result);
	if (verdict != JUDGE_YOUNG)
		return false;
	if (result.is_executing && result.grace_us > young->executing_us) {
		young->until_us = now_us + result.grace_us;
		young->executing_us = result.grace_us;
	}
	/* Without a top its parents changed too often to be followed, which is no fault of its own. */
	if (now_us < young->until_us || result.top == 0)
		return true;
	add_found(look, &result, true);
	return false;
}

static void judge_young(struct detect *detect, struct look *look, uint64_t now_us)
{
	uint32_t n_left = 0;

	for (uint32_t i = 0; i < detect->n_young; i++) {
		if (is_still_young(detect, look, &detect->young[i], now_us))
			detect->young[n_left++] = detect->young[i];
	}
	detect->n_young = n_left;
}

struct directory_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

static int32_t pid_of(const char *name)
{
	uint64_t pid;

	return str_parse_u64(name, INT32_MAX, &pid) == 0 ? (int32_t)pid : 0;
}

/* The processes above from, up to to. /proc lists by pid, and its position is the pid's plus 256 or a
 * little more; so it is begun a little before. */
static void list_pids(struct detect *detect, struct look *look, int32_t from, int32_t to)
{
	_Alignas(8) char buffer[4096];
	int fd = detect->gate->proc_fd;
	long n;

	if (lseek(fd, from > 0 ? (off_t)from + 256 : 0, SEEK_SET) < 0)
		return;
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0) {
		for (long at = 0; at < n;) {
			const struct directory_entry *entry =
				(const struct directory_entry *)(buffer + at);
			int32_t pid = pid_of(entry->name);
			at += entry->length;
			if (pid > to)
				return;
			if (pid > from)
				judge_new(detect, look, pid);
		}
	}
}

/* The last pid that was given out in our namespace; 0: /proc does not say. */
static int32_t read_last_pid(const struct detect *detect)
{
	char text[128];
	ssize_t n = pread(detect->loadavg_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	const char *space = strrchr(text, ' ');
	return space ? (int32_t)strtol(space + 1, NULL, 10) : 0;
}

static void forget_seen(struct detect *detect, int32_t from, int32_t to)
{
	if (to < from || to - from >= DETECT_SEEN_BITS) {
		memset(detect->seen, 0, sizeof(detect->seen));
		return;
	}
	for (int32_t pid = from + 1; pid <= to; pid++)
		detect->seen[pid % DETECT_SEEN_BITS / 8] &= (uint8_t) ~(1U << (pid % 8));
}

/* What was given out long enough ago, and was looked for since, need not be any more. */
static void settle(struct detect *detect, uint64_t now_us)
{
	if (now_us - detect->settling_us < SETTLE_US)
		return;
	forget_seen(detect, detect->settled, detect->settling);
	detect->settled = detect->settling;
	detect->settling = detect->last;
	detect->settling_us = now_us;
}

static void look_for_new(struct detect *detect, struct look *look, uint64_t now_us)
{
	int32_t last = read_last_pid(detect);

	if (last != detect->last)
		detect->moving_until_us = now_us + MOVING_FOR_US;
	detect->last = last;
	/* Numbers begin again at the lowest. */
	if (last < detect->settled) {
		list_pids(detect, look, detect->settled, INT32_MAX);
		list_pids(detect, look, 0, last);
	} else if (last > detect->settled) {
		list_pids(detect, look, detect->settled, last);
	}
	settle(detect, now_us);
}

/* ---- what is done about them */

static const struct {
	enum event_level level;
	const char *event, *text;
} words[GATE_COUNTER_COUNT] = {
	[GATE_KILLED] = {EVENT_WARNING, "intruder-killed",
			 "a process that nobody here started was killed"},
	[GATE_REPORTED] = {EVENT_WARNING, "intruder-seen",
			   "a process that nobody here started was seen"},
	[GATE_UNKILLABLE] = {EVENT_ERROR, "intruder-not-killed",
			     "a process that nobody here started cannot be killed"},
};

static void report(struct detect *detect, const struct found *found, struct gate_refusal *refusal)
{
	visits_note_intruder(&detect->visits, clock_now_us());
	gateboard_write_refusal(detect->gate->record, refusal);
	event_with_i64("pid", refusal->pid);
	event_with_i64("uid", (int64_t)refusal->uid);
	event_with_i64("parent", found->result.stat.parent);
	event_with_string("exe", refusal->exe);
	event_with_string("name", found->result.stat.name);
	event_emit(words[refusal->counter].level, words[refusal->counter].event, NULL, "%s",
		   words[refusal->counter].text);
}

/* 0, -ESRCH or -EPERM. */
static int kill_pinned(int pidfd, int32_t pid)
{
	int r = pidfd >= 0 ? sys_pidfd_send_signal(pidfd, SIGKILL, NULL, 0) : kill(pid, SIGKILL);

	return r < 0 ? -errno : 0;
}

static bool is_still(const struct detect *detect, const struct found *found)
{
	struct judge_result again;
	enum judge_verdict verdict = judge_process(&detect->judge, found->result.stat.pid, &again);

	if (again.stat.start_ticks != found->result.stat.start_ticks)
		return false;
	return verdict == JUDGE_INTRUDER || (found->is_overdue && verdict == JUDGE_YOUNG);
}

static void pin(struct detect *detect, struct found *found)
{
	found->pidfd = sys_pidfd_open(found->result.stat.pid, 0);
	found->is_pinned = is_still(detect, found);
	detect->n_vanished += !found->is_pinned && found->result.is_orphan;
}

/* False when it lives on. */
static bool refuse(struct detect *detect, const struct found *found)
{
	const struct proc_stat *stat = &found->result.stat;
	struct gate_refusal refusal = {.wall_us = clock_wall_us(), .pid = stat->pid};
	struct judge_status status = {0};

	(void)judge_read_status(&detect->judge, stat->pid, &status);
	refusal.uid = status.uid;
	judge_describe(&detect->judge, stat, refusal.exe, sizeof(refusal.exe));
	refusal.counter = GATE_REPORTED;
	if (!detect->gate->is_lenient) {
		int r = kill_pinned(found->pidfd, stat->pid);
		refusal.counter = r == 0	? GATE_KILLED
				  : r == -EPERM ? GATE_UNKILLABLE
						: GATE_REPORTED;
		judge_condemn(&detect->judge, stat->session);
	}
	report(detect, found, &refusal);
	return refusal.counter != GATE_UNKILLABLE;
}

/* False when it has been in vain. */
static bool pursue(struct detect *detect, uint64_t now_us)
{
	const struct gate_refusal refusal = {.wall_us = clock_wall_us(),
					     .counter = GATE_UNKILLABLE};
	bool is_many = detect->n_vanished > VANISHED_MAX;

	if (is_many && !detect->judge.is_pursuing && !detect->gate->is_lenient) {
		detect->judge.is_pursuing = true;
		detect->pursued_since_us = now_us;
	}
	if (is_many && detect->judge.is_pursuing &&
	    now_us - detect->pursued_since_us >= PURSUIT_MAX_US) {
		gateboard_write_refusal(detect->gate->record, &refusal);
		event_emit(EVENT_ERROR, words[GATE_UNKILLABLE].event, NULL,
			   "a process that nobody here started forks and ends, over and over, and "
			   "cannot be caught");
		return false;
	}
	if (now_us - detect->vanished_since_us < VANISHED_WITHIN_US)
		return true;
	detect->judge.is_pursuing &= detect->n_vanished > 0;
	detect->n_vanished = 0;
	detect->vanished_since_us = now_us;
	return true;
}

/* All are judged again before the first is killed: whoever loses its parent by that could pass for an
 * orphan that is too young to be told. */
static bool refuse_all(struct detect *detect, struct look *look)
{
	bool is_safe = true;

	for (uint32_t i = 0; i < look->n_found; i++)
		pin(detect, &look->found[i]);
	for (uint32_t i = 0; i < look->n_found; i++) {
		if (look->found[i].is_pinned)
			is_safe = refuse(detect, &look->found[i]) && is_safe;
		fd_closep(&look->found[i].pidfd);
	}
	return is_safe;
}

/* ---- when */

static void take_triggers(struct detect *detect, uint64_t now_us)
{
	bool is_idle = detect->next_us == USEC_INFINITY;
	bool comes = trigger_take(&detect->triggers, TRIGGER_ENTRY, now_us);
	bool is_executed = trigger_take(&detect->triggers, TRIGGER_PROGRAM, now_us);
	uint64_t until_us = trigger_note_mounts(&detect->triggers, now_us);
	uint64_t settled_us = visits_settle(&detect->visits, detect->triggers.pids_us, now_us);

	detect->moving_until_us = MAX(detect->moving_until_us, MAX(until_us, settled_us));
	if (comes && now_us - detect->hot_since_us >= HOT_APART_US)
		detect->hot_since_us = now_us;
	if (comes)
		detect->hot_until_us = now_us + HOT_FOR_US;
	if (!is_idle || !(comes || is_executed))
		return;
	detect->moving_until_us = MAX(detect->moving_until_us, now_us + HOT_FOR_US);
	detect->step_us = 0;
}

static uint64_t step(struct detect *detect, uint64_t now_us)
{
	detect->is_hot =
		now_us < detect->hot_until_us || detect->n_young > 0 || detect->judge.is_pursuing;
	if (detect->judge.is_pursuing)
		return HOT_FAST_US;
	if (detect->is_hot && now_us - detect->hot_since_us < HOT_FAST_FOR_US)
		return HOT_FAST_US;
	if (detect->is_hot)
		return HOT_US;
	detect->step_us = MIN(MAX(2 * detect->step_us, STEP_MIN_US), STEP_MAX_US);
	if (now_us < detect->moving_until_us || detect->last != detect->settled)
		return detect->step_us;
	return detect->is_steady ? STEADY_US : USEC_INFINITY;
}

static uint64_t cpu_us(void)
{
	struct timespec spent;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent) < 0)
		return 0;
	return (uint64_t)spent.tv_sec * USEC_PER_SEC + (uint64_t)spent.tv_nsec / 1000;
}

static void plan_next(struct detect *detect, uint64_t spent_us)
{
	uint64_t now_us = clock_now_us();
	uint64_t step_us = step(detect, now_us);

	if (!detect->is_hot)
		step_us = MAX(step_us, MIN(REST_FACTOR * spent_us, REST_MAX_US));
	detect->next_us = clock_add_us(now_us, step_us);
}

int detect_wait_fd(const struct detect *detect, enum trigger trigger)
{
	bool is_idle = detect->next_us == USEC_INFINITY;

	if (detect->is_hot || (trigger == TRIGGER_PROGRAM && !is_idle))
		return -1;
	return detect->triggers.fds[trigger];
}

bool detect_turn(struct detect *detect)
{
	static struct look look;
	uint64_t now_us = clock_now_us(), before_us = cpu_us();

	look.n_found = 0;
	take_triggers(detect, now_us);
	look_for_new(detect, &look, now_us);
	judge_young(detect, &look, now_us);
	bool is_safe = refuse_all(detect, &look) && pursue(detect, now_us);
	plan_next(detect, cpu_us() - before_us);
	return is_safe;
}
