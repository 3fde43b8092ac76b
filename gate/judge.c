#include "gate/judge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/io.h"
#include "lib/store.h"

/* A runtime reads its configuration, sets limits and filters. Our own forks are young between two
 * instructions only, and an execve(2) is half done no longer; but the machine may be busy. */
#define RUNTIME_GRACE_US (1 * USEC_PER_SEC)
#define ORPHAN_GRACE_US	 (100 * USEC_PER_MSEC)
#define EXEC_GRACE_US	 (50 * USEC_PER_MSEC)

#define CHAIN_MAX 128 /* parents: more are a loop of reused pids */
#define TRIES_MAX 4   /* each time somebody of the chain had ended */
/* Its line of groups comes before the filters and may have 65536 of them: then the count is unknown,
 * which is no mark. */
#define STATUS_MAX 16384

/* ---- texts */

static const char *find_line(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) == 0)
			return line + length;
	}
	return NULL;
}

static bool read_number(const char *text, const char *key, uint32_t *ret_number)
{
	const char *line = find_line(text, key);

	return line && sscanf(line, "%" SCNu32, ret_number) == 1;
}

int judge_parse_status(const char *text, struct judge_status *ret_status)
{
	struct judge_status status = {0};

	if (!read_number(text, "Uid:", &status.uid) || !read_number(text, "Gid:", &status.gid))
		return -EBADMSG;
	const char *line = find_line(text, "CapPrm:");
	status.capabilities = line ? strtoull(line, NULL, 16) : UINT64_MAX;
	status.has_filters = read_number(text, "Seccomp_filters:", &status.filters);
	*ret_status = status;
	return 0;
}

int judge_read_status(const struct judge *judge, int32_t pid, struct judge_status *ret_status)
{
	static char text[STATUS_MAX];
	char path[32];

	(void)snprintf(path, sizeof(path), "%" PRId32 "/status", pid);
	ssize_t n = io_read_file(judge->proc_fd, path, text, sizeof(text));
	if (n < 0 && n != -EFBIG)
		return (int)n;
	text[n < 0 ? (ssize_t)sizeof(text) - 1 : n] = '\0';
	return judge_parse_status(text, ret_status);
}

/* ---- its file */

/*
 * Whose program may be looked at is whose memory may be: of the same user, with no capability that we
 * have not. So we look as that user, which costs us none of ours but in this moment.
 */
static int stat_program_as(int dirfd, const char *path, const struct judge_status *status,
			   struct stat *ret_st)
{
	int old_gid = setfsgid(status->gid);
	int old_uid = setfsuid(status->uid);
	int r = fstatat(dirfd, path, ret_st, 0) < 0 ? -errno : 0;

	(void)setfsuid((uid_t)old_uid);
	(void)setfsgid((gid_t)old_gid);
	return r;
}

static int stat_program(const struct judge *judge, int32_t pid, struct stat *ret_st)
{
	struct judge_status status;
	char path[32];

	(void)snprintf(path, sizeof(path), "%" PRId32 "/exe", pid);
	if (fstatat(judge->proc_fd, path, ret_st, 0) == 0)
		return 0;
	if (errno != EACCES && errno != EPERM)
		return -errno;
	int r = judge_read_status(judge, pid, &status);
	if (r < 0)
		return r;
	if (status.capabilities & ~judge->capabilities)
		return -EXDEV;
	return stat_program_as(judge->proc_fd, path, &status, ret_st);
}

static bool is_file(const struct stat *st, dev_t dev, ino_t ino)
{
	return ino != 0 && st->st_dev == dev && st->st_ino == ino;
}

static enum judge_verdict judge_file(const struct judge *judge, struct judge_result *result)
{
	struct stat st;
	int r = stat_program(judge, result->stat.pid, &st);

	if (r == -EACCES || r == -EPERM || r == -EXDEV) {
		/* With rights that nobody here has: holdfastctl gives them up first of all, and is called
		 * so when it begins. A moment before it still has its starter's name. */
		bool is_foreign =
			r == -EXDEV && !str_equal(result->stat.name, role_programs[ROLE_CTL]);
		result->is_executing = true;
		result->grace_us = is_foreign ? 1 : EXEC_GRACE_US;
		return JUDGE_YOUNG;
	}
	/* It ends, and its memory is gone already; unless that is true of its first thread alone. */
	if ((r == -ENOENT || r == -ESRCH) && result->stat.threads <= 1)
		return JUDGE_GONE;
	result->is_stub = r == 0 && is_file(&st, judge->stub_dev, judge->stub_ino);
	bool is_ctl = r == 0 && is_file(&st, judge->visitor_dev, judge->visitor_ino);
	return is_ctl || result->is_stub ? JUDGE_VISITOR : JUDGE_INTRUDER;
}

void judge_describe(const struct judge *judge, const struct proc_stat *stat, char *text,
		    size_t size)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "%" PRId32 "/exe", stat->pid);
	ssize_t n = readlinkat(judge->proc_fd, path, text, size - 1);
	if (n > 0)
		text[n] = '\0';
	else
		(void)snprintf(text, size, "[%s]", stat->name);
}

/* ---- who it is */

static bool is_known(const struct judge *judge, int32_t pid)
{
	uint32_t unit, slot;

	for (int role = 0; judge->journal && role < ROLE_COUNT; role++) {
		if (atomic_load_explicit(&judge->journal->pids[role], memory_order_relaxed) == pid)
			return true;
	}
	return judge->board && board_find_pid(judge->board, pid, &unit, &slot);
}

static const struct judge_session *find_condemned(const struct judge *judge, int32_t session)
{
	for (uint32_t i = 0; i < MIN(judge->n_sessions, JUDGE_SESSIONS); i++) {
		if (judge->sessions[i].session == session)
			return &judge->sessions[i];
	}
	return NULL;
}

static bool is_condemned(const struct judge *judge, int32_t session)
{
	const struct judge_session *found = find_condemned(judge, session);

	return found && clock_now_us() < found->until_us;
}

void judge_condemn(struct judge *judge, int32_t session)
{
	const struct judge_session *found = find_condemned(judge, session);
	size_t place =
		found ? (size_t)(found - judge->sessions) : judge->n_sessions % JUDGE_SESSIONS;

	if (session <= 1)
		return;
	judge->n_sessions += !found;
	judge->sessions[place] =
		(struct judge_session){session, clock_now_us() + JUDGE_CONDEMNED_US};
}

static bool has_mark(const struct judge *judge, int32_t pid)
{
	struct judge_status status;

	return judge_read_status(judge, pid, &status) == 0 && status.has_filters &&
	       status.filters > judge->init_filters;
}

/* Whoever was forked by PID 1 or the supervisor and is not yet in its slot, and whoever comes by a
 * runtime that still prepares, has this in common with nobody who could do anything: it runs no
 * program of its own. */
static enum judge_verdict judge_program(const struct judge *judge, struct judge_result *result,
					const struct proc_stat *top)
{
	result->is_orphan = top->parent != 0;
	if (!result->stat.has_executed && !top->has_executed) {
		if (result->is_orphan && judge->is_pursuing)
			return JUDGE_INTRUDER;
		result->grace_us = result->is_orphan ? ORPHAN_GRACE_US : RUNTIME_GRACE_US;
		return JUDGE_YOUNG;
	}
	/* It starts nobody. */
	return result->stat.pid == top->pid ? judge_file(judge, result) : JUDGE_INTRUDER;
}

/* top is PID 1's child, and nobody that it knows. */
static enum judge_verdict judge_orphan(const struct judge *judge, struct judge_result *result,
				       const struct proc_stat *top)
{
	/* 0: the leader of its session is none of this namespace's. */
	if (top->session == 0 || is_condemned(judge, top->session))
		return judge_program(judge, result, top);
	if (!judge->are_orphans_marked || !judge->has_counts || has_mark(judge, result->stat.pid))
		return JUDGE_OURS;
	return judge_program(judge, result, top);
}

/* Goes up to the one that PID 1 or nobody here is the parent of, or that is known. -EAGAIN: one of them
 * ended while we looked, and its children have another parent now. */
static int climb(const struct judge *judge, int32_t pid, struct proc_stat *self,
		 struct proc_stat *top, bool *ret_is_known)
{
	int32_t at = pid;

	for (int depth = 0; depth < CHAIN_MAX; depth++) {
		*ret_is_known = at == 1 || (at != pid && is_known(judge, at));
		/* Known by its number alone, and nothing that its file says would change that. */
		if (*ret_is_known && at != pid)
			return 0;
		int r = proc_read_stat(judge->proc_fd, at, top);
		if (r < 0)
			return at == pid ? r : -EAGAIN;
		if (at == pid)
			*self = *top;
		if (at == 1 || top->is_kernel || top->parent <= 1)
			return 0;
		at = top->parent;
	}
	return -EAGAIN;
}

static enum judge_verdict decide(const struct judge *judge, struct judge_result *result,
				 const struct proc_stat *top, bool is_below_known)
{
	const struct proc_stat *self = &result->stat;

	/* Of a group whose first thread has ended the others go on. */
	if (proc_is_dead(self) && self->threads <= 1)
		return JUDGE_GONE;
	if (is_below_known || self->is_kernel || top->is_kernel)
		return JUDGE_OURS;
	result->top = top->pid;
	result->top_session = top->session;
	return top->parent == 0 ? judge_program(judge, result, top)
				: judge_orphan(judge, result, top);
}

enum judge_verdict judge_process(const struct judge *judge, int32_t pid,
				 struct judge_result *ret_result)
{
	struct judge_result result = {.stat.pid = pid};
	enum judge_verdict verdict = JUDGE_YOUNG;
	struct proc_stat top;
	bool is_below_known;
	int r = -EAGAIN;

	/* The rule, and so without a look into /proc, which would tell nothing that matters. */
	if (is_known(judge, pid)) {
		*ret_result = result;
		return JUDGE_OURS;
	}
	for (int tries = 0; r == -EAGAIN && tries < TRIES_MAX; tries++)
		r = climb(judge, pid, &result.stat, &top, &is_below_known);
	if (r == 0)
		verdict = decide(judge, &result, &top, is_below_known);
	else if (r != -EAGAIN)
		verdict = JUDGE_GONE;
	*ret_result = result;
	return verdict;
}

int judge_prepare(struct judge *judge)
{
	struct judge_status status;
	int r = judge_read_status(judge, 1, &status);

	if (r < 0)
		return r;
	judge->has_counts = status.has_filters;
	judge->init_filters = status.filters;
	return 0;
}
