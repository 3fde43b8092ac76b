#include "lib/sys.h"
#include "supervisor/child.h"

/*
 * What a unit's process may use: its cgroup, its priority, its limits. Each step, here and in the files
 * beside this one (confine_mounts.c, confine_rights.c), changes only what differs from the supervisor
 * itself. Where the instance lacks the right to do it, the ladder (design, section 1, promise 6) says
 * whether that is a failure: protecting a service less than asked for is one for scratch (it would be
 * unbounded, or on a disk) and for ids; a lower priority or a private /tmp is told and done without, as
 * distribution units ask for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/raw.h"
#include "lib/str.h"

int confine_cgroup(struct child *child)
{
	if (child->cgroup_fd < 0 || child->is_in_cgroup)
		return 0;
	CLEANUP(fd_closep) int fd = openat(child->cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, "0", 1) == 1 ? 0 : -errno;
}

/* Our stderr is still the supervisor's: set_stderr comes later. */
static void say_without(const struct child *child, const char *key, int value,
			const char *capability)
{
	event_emit(EVENT_WARNING, "setup-weakened", child->name,
		   "%s=%d cannot be had without %s: it stays as it is", key, value, capability);
}

int confine_oom_score(struct child *child)
{
	bool is_user = child->spawner->uid != 0;
	char number[16];

	if (!(child->unit->flags & UNIT_OOM_SCORE))
		return 0;
	(void)snprintf(number, sizeof(number), "%d", child->unit->oom_score_adjust);
	/* The files in /proc of a process that may not be dumped are root's: proc(5). */
	if (is_user)
		(void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	int r = io_write_file(AT_FDCWD, "/proc/self/oom_score_adj", number);
	if (is_user)
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (r != -EACCES && r != -EPERM)
		return r;
	say_without(child, "OOMScoreAdjust", child->unit->oom_score_adjust, "CAP_SYS_RESOURCE");
	return 0;
}

int confine_nice(struct child *child)
{
	if (!(child->unit->flags & UNIT_NICE))
		return 0;
	int r = RAW3(setpriority, PRIO_PROCESS, 0, child->unit->nice);
	if (r != -EACCES && r != -EPERM)
		return r;
	say_without(child, "Nice", child->unit->nice, "CAP_SYS_NICE");
	return 0;
}

/* As near as we may: without CAP_SYS_RESOURCE no hard limit can be raised. */
static int set_limit(int which, uint64_t soft, uint64_t hard)
{
	uint64_t wanted[2] = {soft, hard}, now[2] = {0}; /* struct rlimit64: prlimit(2) */

	int r = RAW4(prlimit64, 0, which, RAW_POINTER(wanted), 0);
	if (r != -EPERM)
		return r;
	r = RAW4(prlimit64, 0, which, 0, RAW_POINTER(now));
	if (r < 0)
		return r;
	wanted[1] = MIN(wanted[1], now[1]);
	wanted[0] = MIN(wanted[0], wanted[1]);
	return RAW4(prlimit64, 0, which, RAW_POINTER(wanted), 0);
}

int confine_limits(struct child *child)
{
	const struct store_inherited *inherited = &child->spawner->store->inherited;
	struct plan_range range = child->unit->limits;
	bool has_nofile = false;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_limit *limit = plan_limit(child->spawner->plan, range.first + i);
		int r = set_limit((int)limit->resource, limit->soft, limit->hard);
		if (r < 0)
			return r;
		has_nofile |= limit->resource == RLIMIT_NOFILE;
	}
	if (has_nofile || inherited->nofile_soft == 0 ||
	    (inherited->nofile_soft == child->spawner->nofile_soft &&
	     inherited->nofile_hard == child->spawner->nofile_hard))
		return 0;
	return set_limit(RLIMIT_NOFILE, inherited->nofile_soft, inherited->nofile_hard);
}
