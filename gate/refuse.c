#include "gate/refuse.h"

#include <errno.h>
#include <signal.h>

#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/sys.h"

/*
 * Whoever forks and ends, over and over, is at each moment somebody who has just come and is let be. No
 * more than this many orphans a second end like that otherwise: our own forks execute, and a runtime's
 * have no parent here. From then on no orphan is let be, until none ends like that any more; and whom
 * that does not catch within so long cannot be killed.
 */
#define VANISHED_MAX	   16
#define VANISHED_WITHIN_US (1 * USEC_PER_SEC)
#define PURSUIT_MAX_US	   (5 * USEC_PER_SEC)

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

static void report(const struct refuser *refuser, const struct look_found *found,
		   struct gate_refusal *refusal)
{
	visits_note_intruder(refuser->visits, clock_now_us());
	gateboard_write_refusal(refuser->gate->record, refusal);
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

static bool is_still(const struct refuser *refuser, const struct look_found *found)
{
	struct judge_result again;
	enum judge_verdict verdict = judge_process(refuser->judge, found->result.stat.pid, &again);

	if (again.stat.start_ticks != found->result.stat.start_ticks)
		return false;
	return verdict == JUDGE_INTRUDER || (found->is_overdue && verdict == JUDGE_YOUNG);
}

static void pin(const struct refuser *refuser, struct look *look, struct look_found *found)
{
	found->pidfd = sys_pidfd_open(found->result.stat.pid, 0);
	found->is_pinned = is_still(refuser, found);
	look->n_vanished += !found->is_pinned && found->result.is_orphan;
}

/* False when it lives on. */
static bool refuse(const struct refuser *refuser, const struct look_found *found)
{
	const struct proc_stat *stat = &found->result.stat;
	struct gate_refusal refusal = {.wall_us = clock_wall_us(), .pid = stat->pid};
	struct judge_status status = {0};

	(void)judge_read_status(refuser->judge, stat->pid, &status);
	refusal.uid = status.uid;
	judge_describe(refuser->judge, stat, refusal.exe, sizeof(refusal.exe));
	refusal.counter = GATE_REPORTED;
	if (!refuser->gate->is_lenient) {
		int r = kill_pinned(found->pidfd, stat->pid);
		refusal.counter = r == 0	? GATE_KILLED
				  : r == -EPERM ? GATE_UNKILLABLE
						: GATE_REPORTED;
		judge_condemn(refuser->judge, stat->session);
	}
	report(refuser, found, &refusal);
	return refusal.counter != GATE_UNKILLABLE;
}

/* All are judged again before the first is killed: whoever loses its parent by that could pass for an
 * orphan that is too young to be told. */
bool refuse_all(const struct refuser *refuser, struct look *look)
{
	bool is_safe = true;

	for (uint32_t i = 0; i < look->n_found; i++)
		pin(refuser, look, &look->found[i]);
	for (uint32_t i = 0; i < look->n_found; i++) {
		if (look->found[i].is_pinned)
			is_safe = refuse(refuser, &look->found[i]) && is_safe;
		fd_closep(&look->found[i].pidfd);
	}
	return is_safe;
}

bool refuse_pursue(struct refuser *refuser, struct look *look, uint64_t now_us)
{
	const struct gate_refusal refusal = {.wall_us = clock_wall_us(),
					     .counter = GATE_UNKILLABLE};
	bool is_many = look->n_vanished > VANISHED_MAX;

	if (is_many && !refuser->judge->is_pursuing && !refuser->gate->is_lenient) {
		refuser->judge->is_pursuing = true;
		refuser->pursued_since_us = now_us;
	}
	if (is_many && refuser->judge->is_pursuing &&
	    now_us - refuser->pursued_since_us >= PURSUIT_MAX_US) {
		gateboard_write_refusal(refuser->gate->record, &refusal);
		event_emit(EVENT_ERROR, words[GATE_UNKILLABLE].event, NULL,
			   "a process that nobody here started forks and ends, over and over, and "
			   "cannot be caught");
		return false;
	}
	if (now_us - refuser->vanished_since_us < VANISHED_WITHIN_US)
		return true;
	refuser->judge->is_pursuing &= look->n_vanished > 0;
	look->n_vanished = 0;
	refuser->vanished_since_us = now_us;
	return true;
}
