/*
 * When it looks. Nothing tells of a new process without privilege; but something does of whoever comes
 * (trigger.c). How it looks is look.c's, and what it does about whom it finds refuse.c's.
 *
 * What it costs is bounded: looks are rare unless somebody comes, the frequent ones begin at most every
 * HOT_APART_US, and after one that took long it rests in proportion.
 */
#include "gate/detect.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/sys.h"

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
		.look = {.judge = &detect->judge,
			 .visits = &detect->visits,
			 .loadavg_fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC)},
		.refuser = {.gate = gate, .judge = &detect->judge, .visits = &detect->visits},
	};
	/* It shows the PID namespace that we are in, and PID 1 is who started us. */
	if (detect->look.loadavg_fd < 0 || getppid() != 1 || proc_is_ours(gate->proc_fd) <= 0) {
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
	detect->is_hot = now_us < detect->hot_until_us || detect->look.n_young > 0 ||
			 detect->judge.is_pursuing;
	if (detect->judge.is_pursuing)
		return HOT_FAST_US;
	if (detect->is_hot && now_us - detect->hot_since_us < HOT_FAST_FOR_US)
		return HOT_FAST_US;
	if (detect->is_hot)
		return HOT_US;
	detect->step_us = MIN(MAX(2 * detect->step_us, STEP_MIN_US), STEP_MAX_US);
	if (now_us < detect->moving_until_us || detect->look.last != detect->look.settled)
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
	uint64_t now_us = clock_now_us(), before_us = cpu_us();

	take_triggers(detect, now_us);
	if (look_around(&detect->look, now_us))
		detect->moving_until_us = now_us + MOVING_FOR_US;
	bool is_safe = refuse_all(&detect->refuser, &detect->look) &&
		       refuse_pursue(&detect->refuser, &detect->look, now_us);
	plan_next(detect, cpu_us() - before_us);
	return is_safe;
}
