/*
 * A zombie is looked at (waitid WNOWAIT), written down, and only then reaped, so that at any moment
 * an exit is in the kernel or in the journal. When the journal is full its owner is behind: the
 * zombies wait, and what stands first in the kernel's list hides the rest. Therefore our own
 * programs are asked for by pid, before the list: the death of the supervisor is what makes room.
 *
 * The supervisor is poked after the reaping, and once for many: what it is told of is then gone from
 * the kernel too, so that it does not take a zombie for a process that still has to end.
 */
#include "init/pid1/reap.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/pid1/boot.h"
#include "init/pid1/keeper.h"
#include "init/pid1/shutdown.h"
#include "lib/clock.h"

#define EXITS_A_POKE  64
#define EXITS_A_LOOK  1024 /* then signals and timers have their turn */
#define REAP_AGAIN_US (20 * USEC_PER_MSEC)
/* Room that exits leave to signals: a stop must be seen even when zombies have to wait. */
#define SIGNAL_RESERVE 16

/* libc's waitid() hides the usage, and wait4() cannot look without reaping. 1, 0 for none. */
static int wait_for(idtype_t type, pid_t pid, int options, siginfo_t *ret_info,
		    struct rusage *ret_usage)
{
	long r;

	ret_info->si_pid = 0;
	do {
		r = syscall(SYS_waitid, type, pid, ret_info, WEXITED | WNOHANG | __WALL | options,
			    ret_usage);
	} while (r < 0 && errno == EINTR);
	return r == 0 && ret_info->si_pid != 0;
}

static void reap_one(pid_t pid)
{
	siginfo_t info;
	struct rusage usage;

	(void)wait_for(P_PID, pid, 0, &info, &usage);
}

static void note_own(struct instance *in, enum role role, int code, int status)
{
	enum keeper_verdict verdict = keeper_note_end(in, role, code, status);

	if (verdict == KEEPER_IS_OVER)
		shutdown_by_board(in);
	if (verdict == KEEPER_HOPELESS)
		shutdown_give_up(in, role, code, status);
	if (verdict == KEEPER_UNSAFE)
		shutdown_by_intruder(in);
	if (role == ROLE_BOOT)
		boot_note_end(in, code, status);
}

static void reap_own(struct instance *in)
{
	siginfo_t info;
	struct rusage usage;

	for (enum role role = 0; role < ROLE_COUNT; role++) {
		if (in->children[role].pid == 0 ||
		    !wait_for(P_PID, in->children[role].pid, 0, &info, &usage))
			continue;
		note_own(in, role, info.si_code, info.si_status);
	}
}

static bool is_own(const struct instance *in, pid_t pid)
{
	for (enum role role = 0; role < ROLE_COUNT; role++) {
		if (in->children[role].pid == pid)
			return true;
	}
	return false;
}

static uint64_t to_us(struct timeval time)
{
	return (uint64_t)time.tv_sec * USEC_PER_SEC + (uint64_t)time.tv_usec;
}

static bool has_room(const struct instance *in, uint64_t reserve)
{
	uint64_t cursor = board_read_manager(&in->board).cursor;

	return journal_has_room(in->journal, cursor - reserve);
}

static void append(struct instance *in, struct journal_entry *entry)
{
	journal_append(in->journal, entry);
	keeper_watch(in);
}

static void poke(const struct instance *in)
{
	(void)eventfd_write(in->event_journal, 1);
}

enum owner { OWNER_NONE, OWNER_TOLD, OWNER_BEHIND };

/* Tells the owner of the process, if it has one. Once the instance ends nobody would read it. */
static enum owner write_down(struct instance *in, const siginfo_t *info, const struct rusage *usage)
{
	struct journal_entry entry = {
		.kind = JOURNAL_EXIT,
		.pid = info->si_pid,
		.code = info->si_code,
		.status = info->si_status,
		.user_us = to_us(usage->ru_utime),
		.system_us = to_us(usage->ru_stime),
		.max_rss_kb = (uint64_t)usage->ru_maxrss,
	};

	if (!in->is_up || in->stage != STAGE_NONE ||
	    !board_find_pid(&in->board, info->si_pid, &entry.unit, &entry.slot))
		return OWNER_NONE;
	if (!has_room(in, SIGNAL_RESERVE))
		return OWNER_BEHIND;
	append(in, &entry);
	return OWNER_TOLD;
}

static void reap_rest(struct instance *in)
{
	siginfo_t info;
	struct rusage usage;

	for (int i = 1; i <= EXITS_A_LOOK; i++) {
		if (!wait_for(P_ALL, 0, WNOWAIT, &info, &usage))
			return;
		if (is_own(in, info.si_pid)) {
			reap_own(in);
			continue;
		}
		enum owner owner = write_down(in, &info, &usage);
		if (owner == OWNER_BEHIND) {
			in->timers[TIMER_REAP] = clock_now_us() + REAP_AGAIN_US;
			return;
		}
		reap_one(info.si_pid);
		/* Adopted (MAINPID=, a pid file) since our look at the board? Who adopts puts it
		 * there first and looks then whether it still exists: one of us sees the other. */
		if (owner == OWNER_NONE)
			(void)write_down(in, &info, &usage);
		if (i % EXITS_A_POKE == 0)
			poke(in);
	}
	in->timers[TIMER_REAP] = clock_now_us();
}

void reap_all(struct instance *in)
{
	uint64_t head = in->is_up ? in->journal->head : 0;

	in->timers[TIMER_REAP] = USEC_INFINITY;
	reap_own(in);
	reap_rest(in);
	if (in->is_up && in->journal->head != head)
		poke(in);
}

bool reap_journal_signal(struct instance *in, int signal, pid_t sender, uid_t uid, bool must_fit)
{
	struct journal_entry entry = {
		.kind = JOURNAL_SIGNAL,
		.pid = sender,
		.unit = PLAN_NO_UNIT,
		.code = signal,
		.status = (int32_t)uid,
	};

	if (!in->is_up || !has_room(in, must_fit ? 0 : SIGNAL_RESERVE))
		return false;
	append(in, &entry);
	poke(in);
	return true;
}
