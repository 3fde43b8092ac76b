#include "gate/look.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/str.h"

#define WAITED_MAX_US (4 * USEC_PER_SEC) /* for a processor: so much is forgiven */
#define SETTLE_US     (200 * USEC_PER_MSEC)

/* ---- whom it finds */

/* How long it has waited for a processor so far (schedstat of proc(5)), which is no time that it had: a
 * runtime that prepares in a container of a twentieth of a processor takes longer than a second. 0: the
 * kernel does not say. */
static uint64_t waited_us(const struct judge *judge, int32_t pid)
{
	uint64_t ran_ns, waited_ns;
	char path[32], text[96];

	(void)snprintf(path, sizeof(path), "%" PRId32 "/schedstat", pid);
	if (io_read_file(judge->proc_fd, path, text, sizeof(text)) <= 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNu64, &ran_ns, &waited_ns) != 2)
		return 0;
	return MIN(waited_ns / 1000, WAITED_MAX_US);
}

static void add_young(struct look *look, const struct judge_result *result, uint64_t now_us)
{
	/* More of them than a machine full of runtimes has: the next look finds them again. */
	if (look->n_young == LOOK_YOUNG_MAX)
		return;
	look->young[look->n_young++] = (struct look_young){
		.pid = result->stat.pid,
		.start_ticks = result->stat.start_ticks,
		.executing_us = result->is_executing ? result->grace_us : 0,
		.is_orphan = result->is_orphan,
		.until_us = now_us + result->grace_us,
		.waited_us = result->is_executing ? waited_us(look->judge, result->stat.pid) : 0,
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
	if (look->n_found < LOOK_FOUND_MAX && !is_found(look, result->stat.pid))
		look->found[look->n_found++] =
			(struct look_found){*result, is_overdue, -EBADF, false};
}

/* Those whom we let be start nobody: who is above an intruder is one too, whatever may be seen of its
 * program, and goes first. */
static void add_intruder(struct look *look, const struct judge_result *result)
{
	struct judge_result top;

	if (result->top != result->stat.pid) {
		enum judge_verdict verdict = judge_process(look->judge, result->top, &top);
		if (verdict == JUDGE_YOUNG || verdict == JUDGE_INTRUDER)
			add_found(look, &top, verdict == JUDGE_YOUNG);
	}
	add_found(look, result, false);
}

static void judge_new(struct look *look, int32_t pid)
{
	uint8_t *seen = &look->seen[pid % LOOK_SEEN_BITS / 8];
	uint8_t bit = (uint8_t)(1U << (pid % 8));
	struct judge_result result;

	if (*seen & bit)
		return;
	enum judge_verdict verdict = judge_process(look->judge, pid, &result);
	if (verdict == JUDGE_YOUNG)
		add_young(look, &result, clock_now_us());
	if (verdict == JUDGE_VISITOR)
		visits_note(look->visits, &result);
	if (verdict == JUDGE_INTRUDER)
		add_intruder(look, &result);
	/* A room that is full is no verdict; and who is gone is not found again. */
	if (verdict != JUDGE_GONE && look->n_found < LOOK_FOUND_MAX &&
	    look->n_young < LOOK_YOUNG_MAX)
		*seen |= bit;
}

/* One that was young: true when it still is and has time. */
static bool is_still_young(struct look *look, struct look_young *young, uint64_t now_us)
{
	struct judge_result result;
	enum judge_verdict verdict = judge_process(look->judge, young->pid, &result);

	if (verdict == JUDGE_OURS)
		return false;
	/* Somebody else may have its pid by now: that one is found as a new one. */
	if (result.stat.start_ticks != young->start_ticks) {
		look->n_vanished += young->is_orphan;
		return false;
	}
	if (verdict == JUDGE_VISITOR)
		visits_note(look->visits, &result);
	if (verdict == JUDGE_INTRUDER)
		add_intruder(look, &result);
	if (verdict != JUDGE_YOUNG)
		return false;
	if (result.is_executing && result.grace_us > young->executing_us) {
		young->until_us = now_us + result.grace_us;
		young->executing_us = result.grace_us;
		young->waited_us = waited_us(look->judge, young->pid);
	}
	/* Without a top its parents changed too often to be followed, which is no fault of its own. */
	if (now_us < young->until_us || result.top == 0 ||
	    now_us < young->until_us + waited_us(look->judge, young->pid) - young->waited_us)
		return true;
	add_found(look, &result, true);
	return false;
}

static void judge_young(struct look *look, uint64_t now_us)
{
	uint32_t n_left = 0;

	for (uint32_t i = 0; i < look->n_young; i++) {
		if (is_still_young(look, &look->young[i], now_us))
			look->young[n_left++] = look->young[i];
	}
	look->n_young = n_left;
}

/* ---- where it looks */

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
static void list_pids(struct look *look, int32_t from, int32_t to)
{
	_Alignas(8) char buffer[4096];
	int fd = look->judge->proc_fd;
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
				judge_new(look, pid);
		}
	}
}

/* The last pid that was given out in our namespace; 0: /proc does not say. */
static int32_t read_last_pid(const struct look *look)
{
	char text[128];
	ssize_t n = pread(look->loadavg_fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	const char *space = strrchr(text, ' ');
	return space ? (int32_t)strtol(space + 1, NULL, 10) : 0;
}

static void forget_seen(struct look *look, int32_t from, int32_t to)
{
	if (to < from || to - from >= LOOK_SEEN_BITS) {
		memset(look->seen, 0, sizeof(look->seen));
		return;
	}
	for (int32_t pid = from + 1; pid <= to; pid++)
		look->seen[pid % LOOK_SEEN_BITS / 8] &= (uint8_t) ~(1U << (pid % 8));
}

/* What was given out long enough ago, and was looked for since, need not be any more. */
static void settle(struct look *look, uint64_t now_us)
{
	if (now_us - look->settling_us < SETTLE_US)
		return;
	forget_seen(look, look->settled, look->settling);
	look->settled = look->settling;
	look->settling = look->last;
	look->settling_us = now_us;
}

static bool look_for_new(struct look *look, uint64_t now_us)
{
	int32_t last = read_last_pid(look);

	bool is_moving = last != look->last;
	look->last = last;
	/* Numbers begin again at the lowest. */
	if (last < look->settled) {
		list_pids(look, look->settled, INT32_MAX);
		list_pids(look, 0, last);
	} else if (last > look->settled) {
		list_pids(look, look->settled, last);
	}
	settle(look, now_us);
	return is_moving;
}

bool look_around(struct look *look, uint64_t now_us)
{
	look->n_found = 0;
	bool is_moving = look_for_new(look, now_us);
	judge_young(look, now_us);
	return is_moving;
}
