/*
 * Why a death is found by wait(2) alone: the channel and the pipes of a daemon are also held by
 * children that it forked and by PID 1 itself, so an end of file would come late or never.
 *
 * A supervisor that hangs does not die. It is found by the journal: whoever applies nothing of what
 * waits there for HUNG_US is killed, and its successor goes on from the board.
 */
#include "init/pid1/keeper.h"

#include <signal.h>
#include <string.h>

#include "init/pid1/channel.h"
#include "init/pid1/child.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/gateboard.h"
#include "lib/str.h"
#include "lib/signals.h"

#define HUNG_US		 (5 * USEC_PER_SEC)
#define DEATHS_WINDOW_US (10 * USEC_PER_SEC)
#define DELAY_MIN_US	 (100 * USEC_PER_MSEC)
#define DELAY_MAX_US	 (5 * USEC_PER_SEC)

/* Who lived this long is not in a loop of deaths: its deaths are counted afresh. Tests that kill a
 * hundred times use the crash flavour, where this is not a minute. */
#ifdef HOLDFAST_CRASH_POINTS
#define CALM_US (20 * USEC_PER_MSEC)
#else
#define CALM_US (60 * USEC_PER_SEC)
#endif

static bool is_health_needed(const struct instance *in)
{
	return in->plan.header->n_listen > 0;
}

/* What is below a subreaper is nobody's alone: others come and go there by right. */
static bool is_gate_needed(const struct instance *in)
{
	return in->is_pid1;
}

static const struct daemon {
	enum role role;
	bool is_essential; /* when it cannot be kept alive the instance ends */
	bool has_stdin;	   /* the one that we were given, else /dev/null */
	bool (*is_needed)(const struct instance *in); /* NULL: always */
	uint64_t blocked;
} daemons[] = {
	/* Told to end just after its start it must not die of it, but write out what there is. */
	{ROLE_LOG, true, false, NULL, SIGNALS_BIT(SIGTERM)},
	{ROLE_HEALTH, false, false, is_health_needed, 0},
	{ROLE_GATE, true, false, is_gate_needed, 0},
	{ROLE_SUPERVISOR, true, true, NULL, 0},
};

static const struct daemon *find_daemon(enum role role)
{
	for (size_t i = 0; i < ARRAY_COUNT(daemons); i++) {
		if (daemons[i].role == role)
			return &daemons[i];
	}
	return NULL;
}

static uint64_t grow_delay(uint64_t delay_us)
{
	return delay_us == 0 ? DELAY_MIN_US : MIN(2 * delay_us, DELAY_MAX_US);
}

bool keeper_count_death(struct child *child, uint64_t now_us)
{
	if (now_us - child->started_us >= CALM_US) {
		child->delay_us = 0;
		child->n_deaths = 0;
	}
	child->deaths_us[child->n_deaths++ % DEATHS_MAX] = now_us;
	child->respawn_us = now_us + child->delay_us;
	child->delay_us = grow_delay(child->delay_us);
	/* The next place to be overwritten holds the oldest. */
	return child->n_deaths >= DEATHS_MAX &&
	       now_us - child->deaths_us[child->n_deaths % DEATHS_MAX] < DEATHS_WINDOW_US;
}

static int start_daemon(struct instance *in, const struct daemon *daemon)
{
	char name[32];
	char *argv[] = {name, NULL};
	uint32_t stream = stream_of_role(plan_unit_count(&in->plan), daemon->role);
	const struct child_setup setup = {
		.fds = {daemon->has_stdin ? 0 : in->null_fd, in->null_fd,
			store_find(in->store, STORE_PIPE_WRITE, stream)},
		.blocked = daemon->blocked,
	};

	(void)str_copy(name, sizeof(name), role_programs[daemon->role]);
	if (daemon->role == ROLE_SUPERVISOR) {
		int r = channel_open(in, ROLE_SUPERVISOR);
		if (r < 0)
			return r;
	}
	return child_start(in, daemon->role, argv, &setup);
}

/* No process to be had (a limit on pids, no memory) is no death: it is tried for as long as it
 * takes, since what runs may go on meanwhile. */
static void start_or_retry(struct instance *in, const struct daemon *daemon)
{
	struct child *child = &in->children[daemon->role];
	int r = start_daemon(in, daemon);

	if (r == 0) {
		if (daemon->role == ROLE_SUPERVISOR)
			keeper_watch(in);
		return;
	}
	child->delay_us = grow_delay(child->delay_us);
	child->respawn_us = clock_now_us() + child->delay_us;
	event_with_i64("errno", -r);
	event_emit(EVENT_ERROR, "daemon-not-started", NULL, "%s cannot be started: trying again",
		   role_programs[daemon->role]);
}

void keeper_start(struct instance *in)
{
	for (size_t i = 0; i < ARRAY_COUNT(daemons); i++) {
		if (!daemons[i].is_needed || daemons[i].is_needed(in))
			start_or_retry(in, &daemons[i]);
	}
}

void keeper_start_due(struct instance *in, uint64_t now_us)
{
	for (size_t i = 0; i < ARRAY_COUNT(daemons); i++) {
		if (in->children[daemons[i].role].respawn_us <= now_us)
			start_or_retry(in, &daemons[i]);
	}
}

uint64_t keeper_next_due(const struct instance *in)
{
	uint64_t next = USEC_INFINITY;

	for (size_t i = 0; i < ARRAY_COUNT(daemons); i++)
		next = MIN(next, in->children[daemons[i].role].respawn_us);
	return next;
}

void keeper_stop(struct instance *in)
{
	for (size_t i = 0; i < ARRAY_COUNT(daemons); i++) {
		if (daemons[i].role != ROLE_LOG)
			in->children[daemons[i].role].respawn_us = USEC_INFINITY;
	}
	in->timers[TIMER_HUNG] = USEC_INFINITY;
}

void keeper_end_log(struct instance *in)
{
	struct child *log = &in->children[ROLE_LOG];

	/* What stands in the pipes is worth a start that was due later. */
	if (log->pid == 0 && log->respawn_us != USEC_INFINITY)
		start_or_retry(in, find_daemon(ROLE_LOG));
	log->respawn_us = USEC_INFINITY;
	if (log->pid > 0)
		(void)kill(log->pid, SIGTERM);
}

static enum keeper_verdict note_death(struct instance *in, const struct daemon *daemon, int code,
				      int status)
{
	struct child *child = &in->children[daemon->role];
	bool is_hopeless = keeper_count_death(child, clock_now_us());

	in->journal->deaths[daemon->role]++;
	event_with_i64("code", code);
	event_with_i64("status", status);
	/* Where the runtime tells every process of a container to end (podman with --pid=host). */
	bool was_told = code == CLD_KILLED && status == SIGTERM && in->n_stops > 0;
	event_emit(was_told ? EVENT_INFO : EVENT_WARNING, "daemon-died", NULL, "%s has %s with %d",
		   role_programs[daemon->role], code == CLD_EXITED ? "exited" : "died", status);
	return is_hopeless && daemon->is_essential ? KEEPER_HOPELESS : KEEPER_GOES_ON;
}

/* Its last word on the board decides whether this was the end or a death. */
static enum keeper_verdict note_supervisor(struct instance *in, const struct daemon *daemon,
					   int code, int status)
{
	in->timers[TIMER_HUNG] = USEC_INFINITY;
	(void)channel_close(in);
	if (board_read_manager(&in->board).phase == BOARD_STOPPED)
		return KEEPER_IS_OVER;
	return note_death(in, daemon, code, status);
}

/* It ends well where it has nothing to watch; and it says by its end that somebody got in who is out of
 * its reach: nothing of ours may go on beside them. */
static enum keeper_verdict note_gate(struct instance *in, const struct daemon *daemon, int code,
				     int status)
{
	if (code == CLD_EXITED && status == GATE_EXIT_NO_DUTY)
		return KEEPER_GOES_ON;
	if (code == CLD_EXITED && status == GATE_EXIT_UNSAFE)
		return KEEPER_UNSAFE;
	return note_death(in, daemon, code, status);
}

enum keeper_verdict keeper_note_end(struct instance *in, enum role role, int code, int status)
{
	const struct daemon *daemon = find_daemon(role);

	in->children[role].pid = 0;
	child_publish(in, role, 0);
	if (!daemon)
		return KEEPER_GOES_ON;
	/* Log is needed until the others are gone; then it goes because it was told to. */
	bool is_kept = in->stage == STAGE_NONE || (role == ROLE_LOG && in->stage < STAGE_LOG);
	if (!is_kept)
		return KEEPER_GOES_ON;
	if (role == ROLE_SUPERVISOR)
		return note_supervisor(in, daemon, code, status);
	return role == ROLE_GATE ? note_gate(in, daemon, code, status)
				 : note_death(in, daemon, code, status);
}

void keeper_watch(struct instance *in)
{
	uint64_t cursor = board_read_manager(&in->board).cursor;

	if (in->stage != STAGE_NONE || in->children[ROLE_SUPERVISOR].pid == 0)
		return;
	if (cursor == in->journal->head) {
		in->timers[TIMER_HUNG] = USEC_INFINITY;
		return;
	}
	/* An entry more is no new chance for one that applies none. */
	if (in->timers[TIMER_HUNG] != USEC_INFINITY && cursor == in->seen_cursor)
		return;
	in->seen_cursor = cursor;
	in->timers[TIMER_HUNG] = clock_now_us() + HUNG_US;
}

void keeper_check_hung(struct instance *in)
{
	bool is_moving = board_read_manager(&in->board).cursor != in->seen_cursor;

	in->timers[TIMER_HUNG] = USEC_INFINITY;
	if (!is_moving) {
		event_emit(EVENT_ERROR, "supervisor-hung", NULL,
			   "the supervisor applied nothing for 5 s: killing it");
		if (in->children[ROLE_SUPERVISOR].pid > 0)
			(void)kill(in->children[ROLE_SUPERVISOR].pid, SIGKILL);
		return;
	}
	keeper_watch(in);
}
