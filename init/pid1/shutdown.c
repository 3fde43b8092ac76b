#include "init/pid1/shutdown.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/pid1/child.h"
#include "init/pid1/command_rest.h"
#include "init/pid1/detach.h"
#include "init/pid1/host.h"
#include "init/pid1/keeper.h"
#include "init/pid1/pack.h"
#include "init/pid1/room.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/termination.h"

/* Of the stop budget these are kept for KILL and the dump (design, section 3). */
#define RESERVE_US   (2 * USEC_PER_SEC)
#define GRACE_MIN_US (1 * USEC_PER_SEC)
#define KILL_US	     (500 * USEC_PER_MSEC)
#define INTRUDER_US  (50 * USEC_PER_MSEC)
#define LOG_US	     (1 * USEC_PER_SEC)
#define DUMP_US	     (5 * USEC_PER_SEC)
#define HOST_DUMP_US (10 * USEC_PER_SEC) /* 48 KiB on a serial line */
/* Long enough for disks that are slow and several that hang (detach.c). */
#define UNMOUNT_US (60 * USEC_PER_SEC)
/* Of a host's end, beyond the grace of TERM: all stages, and some more. No test waits for that. */
#ifdef HOLDFAST_CRASH_POINTS
#define END_US (15 * USEC_PER_SEC)
#else
#define END_US (KILL_US + LOG_US + HOST_DUMP_US + UNMOUNT_US + 10 * USEC_PER_SEC)
#endif

/* ---- whatever is left */

/* Without a /proc of our own PID namespace we know those that the board names, and our own. */
static void signal_known(const struct instance *in, int signal)
{
	siginfo_t info;

	for (enum role role = ROLE_BOOT; role < ROLE_COUNT; role++) {
		if (role != ROLE_LOG && in->children[role].pid > 0)
			(void)kill(in->children[role].pid, signal);
	}
	for (uint32_t unit = 0; unit < in->board.n_units; unit++) {
		for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
			pid_t pid = in->board.slots[unit][slot];
			/* Not reaped by us, so it is still that child. */
			if (pid > 1 && waitid(P_PID, (id_t)pid, &info,
					      WEXITED | WNOHANG | WNOWAIT | __WALL) == 0)
				(void)kill(pid, signal);
		}
	}
}

/* To all but log and the watcher. As PID 1 without /proc to log too: TERM only tells it to write out what it has,
 * and before KILL it had the time of a stage to do so. */
static void signal_rest(const struct instance *in, int signal)
{
	const pid_t except[COMMAND_REST_EXCEPT] = {in->children[ROLE_LOG].pid, in->watcher};

	if (command_rest_reach(signal, except, NULL) == 0)
		return;
	if (in->is_pid1)
		(void)kill(-1, signal);
	else
		signal_known(in, signal);
}

/*
 * The gate was signalled as all others were, but takes the kernel ten times as long to end as they do (what
 * it watched is let go of behind a grace period); in a container that goes on beside what is still to do.
 */
static bool is_anything_left(const struct instance *in)
{
	bool is_waited_for = in->is_host || !in->is_pid1;
	const pid_t except[COMMAND_REST_EXCEPT] = {in->children[ROLE_LOG].pid, in->watcher,
						   is_waited_for ? 0 : in->children[ROLE_GATE].pid};
	siginfo_t info;
	size_t count;

	if (command_rest_reach(0, except, &count) == 0)
		return count > 0;
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 ||
	       errno != ECHILD;
}

/* ---- the stages */

static void enter_term(struct instance *in)
{
	in->timers[TIMER_STAGE] = clock_now_us() + in->grace_us;
	signal_rest(in, SIGTERM);
	/* What is stopped could not act on it. */
	signal_rest(in, SIGCONT);
}

static void enter_kill(struct instance *in)
{
	in->timers[TIMER_STAGE] = clock_now_us() + KILL_US;
}

/* What a killed process leaves behind comes to us, so each look kills again. */
static bool is_killed(struct instance *in)
{
	signal_rest(in, SIGKILL);
	return !is_anything_left(in);
}

static bool is_term_over(struct instance *in)
{
	return !is_anything_left(in);
}

static void enter_log(struct instance *in)
{
	in->timers[TIMER_STAGE] = clock_now_us() + LOG_US;
	event_with_i64("status", in->status);
	event_emit(EVENT_NOTICE, "instance-ends", NULL, "holdfast exits with %d", in->status);
	pack_restore_stderr(in);
	event_init("holdfast", in->event_format);
	keeper_end_log(in);
}

static bool is_log_gone(struct instance *in)
{
	return in->children[ROLE_LOG].pid == 0;
}

static void enter_dump(struct instance *in)
{
	in->timers[TIMER_STAGE] = clock_now_us() + (in->is_host ? HOST_DUMP_US : DUMP_US);
	in->wants_dump = in->wants_dump || host_has_failed(in);
	if (in->wants_dump)
		shutdown_dump(in, USEC_INFINITY);
}

static bool is_dump_written(struct instance *in)
{
	return in->children[ROLE_CTL].pid == 0;
}

/* In a fork of ours: a disk that does not answer keeps it and not us. */
static void enter_unmount(struct instance *in)
{
	in->timers[TIMER_STAGE] = clock_now_us() + UNMOUNT_US;
	if (!in->is_host)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		if (instance_leave_room(in))
			detach_all();
		_exit(0);
	}
	in->children[ROLE_INIT].pid = pid > 0 ? pid : 0;
}

static bool is_unmounted(struct instance *in)
{
	return in->children[ROLE_INIT].pid == 0;
}

/* A subreaper's descendants would go on without us; a PID namespace's are killed by its end. */
static void enter_done(struct instance *in)
{
	in->children[ROLE_LOG].pid = 0;
	signal_rest(in, SIGKILL);
}

static const struct {
	void (*enter)(struct instance *in);
	bool (*is_over)(struct instance *in);
} stages[STAGE_COUNT] = {
	[STAGE_TERM] = {enter_term, is_term_over},
	[STAGE_KILL] = {enter_kill, is_killed},
	[STAGE_LOG] = {enter_log, is_log_gone},
	[STAGE_DUMP] = {enter_dump, is_dump_written},
	[STAGE_UNMOUNT] = {enter_unmount, is_unmounted},
	[STAGE_DONE] = {enter_done, NULL},
};

static void enter(struct instance *in, enum stage stage)
{
	in->stage = stage;
	keeper_stop(in);
	stages[stage].enter(in);
}

void shutdown_advance(struct instance *in, bool is_late)
{
	while (in->stage != STAGE_NONE && in->stage != STAGE_DONE) {
		if (!is_late && !stages[in->stage].is_over(in))
			return;
		is_late = false;
		enter(in, in->stage + 1);
	}
}

/* ---- how it begins */

void shutdown_begin(struct instance *in, int status, uint64_t grace_us)
{
	if (in->stage != STAGE_NONE)
		return;
	in->status = status;
	in->grace_us = grace_us > GRACE_MIN_US ? grace_us : GRACE_MIN_US;
	host_begin_end(in, in->grace_us + END_US);
	enter(in, STAGE_TERM);
}

/* The dump is for a unit that failed by itself, and for a machine that was switched off from outside
 * and could not stop in order. A lone command's own status says it all, and its
 * output is its own. */
static bool is_dump_wanted(const struct instance *in, const struct board_manager *manager)
{
	if (in->is_button_pressed && manager->exit_status != 0)
		return true;
	return manager->exit_status != 0 && manager->cause_unit != PLAN_NO_UNIT &&
	       manager->cause != RESULT_SUCCESS && !(in->plan.header->flags & PLAN_MAIN_COMMAND);
}

void shutdown_by_board(struct instance *in)
{
	struct board_manager manager = board_read_manager(&in->board);

	if (in->stage != STAGE_NONE)
		return;
	in->wants_dump = is_dump_wanted(in, &manager);
	/* With -w also what the command's unit did not reach has that long; the budget holds. */
	shutdown_begin(in, manager.exit_status > 255 ? STATUS_INTERNAL : (int)manager.exit_status,
		       in->options->is_wait_all ? in->options->grace_s * USEC_PER_SEC : 0);
}

void shutdown_give_up(struct instance *in, enum role role, int code, int status)
{
	char cause[128];

	in->children[role].respawn_us = USEC_INFINITY;
	if (in->stage != STAGE_NONE)
		return;
	if (role == ROLE_LOG)
		pack_restore_stderr(in);
	(void)snprintf(cause, sizeof(cause),
		       "%s cannot be kept alive: it died %d times in 10 s, at last %s %d",
		       role_programs[role], DEATHS_MAX,
		       code == CLD_EXITED ? "with status" : "by signal", status);
	event_emit(EVENT_ERROR, "daemon-hopeless", NULL, "%s", cause);
	termination_write(cause);
	in->wants_dump = true;
	shutdown_begin(in, STATUS_INTERNAL,
		       in->stop_budget_us > RESERVE_US ? in->stop_budget_us - RESERVE_US : 0);
}

void shutdown_by_intruder(struct instance *in)
{
	static const char cause[] =
		"somebody got in whom holdfast-gate cannot kill: the instance ends";

	if (in->stage >= STAGE_KILL)
		return;
	event_emit(EVENT_ERROR, "intruder-ends-instance", NULL, "%s", cause);
	termination_write(cause);
	in->status = STATUS_INTERNAL;
	in->grace_us = 0;
	enter(in, STAGE_KILL);
	/* They are left whatever we do. */
	in->timers[TIMER_STAGE] = clock_now_us() + INTRUDER_US;
	shutdown_advance(in, false);
}

static int status_at_deadline(const struct instance *in)
{
	/* Only boot can be in the way then: nothing has run that could have failed. */
	if (!in->is_up)
		return 0;
	uint32_t status = board_read_manager(&in->board).exit_status;
	return status == 0 || status > 255 ? STATUS_KILLED : (int)status;
}

void shutdown_at_deadline(struct instance *in)
{
	if (in->stage >= STAGE_KILL)
		return;
	if (in->stage == STAGE_NONE) {
		in->status = status_at_deadline(in);
		event_emit(EVENT_ERROR, "stop-deadline", NULL,
			   "the stop budget is used up: killing what is left");
	}
	enter(in, STAGE_KILL);
	shutdown_advance(in, false);
}

/* ---- the dump */

void shutdown_dump(struct instance *in, uint64_t timeout_us)
{
	char name[] = "holdfastctl", verb[] = "dump", digest[] = "--digest", cause[] = "--cause";
	/* The end of a machine: the console is slow, and keeps little. */
	bool is_digest = in->is_host;
	char *argv[] = {name,	   verb, is_digest ? digest : NULL, is_digest ? cause : NULL,
			in->cause, NULL};
	const struct child_setup setup = {
		/* Without a /dev/null yet, boot was refused early. */
		.fds = {in->null_fd >= 0 ? in->null_fd : 0, store_find(in->store, STORE_OUTPUT, 0),
			in->error_fd},
	};

	if (in->children[ROLE_CTL].pid > 0)
		return;
	in->timers[TIMER_DUMP] = clock_add_us(clock_now_us(), timeout_us);
	int r = child_start(in, ROLE_CTL, argv, &setup);
	if (r < 0) {
		event_with_i64("errno", -r);
		event_emit(EVENT_ERROR, "dump-not-started", NULL, "the dump cannot be written");
	}
}

void shutdown_end_dump(struct instance *in)
{
	if (in->children[ROLE_CTL].pid > 0)
		(void)kill(in->children[ROLE_CTL].pid, SIGKILL);
}
