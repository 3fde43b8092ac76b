/*
 * The exec gate's group of marks (fanotify(7)): made here and kept by PID 1, so that no moment of the
 * instance's life is without it, and what is executed while nobody answers waits. The root is marked
 * here too; the other mounts by holdfast-gate, which answers.
 *
 * holdfast's own static programs are excepted, by file: they are what PID 1 starts while nobody
 * answers, and holdfastctl is what may come from outside. The remote helper is not: it is dynamic, and
 * its loader is asked about like any other.
 *
 * Without CAP_SYS_ADMIN in the first user namespace there is no gate; holdfast-gate finds out and says
 * why. A subreaper has none: the processes around it are not its own to refuse.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "init/boot/sysctl.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/mountinfo.h"
#include "lib/proc.h"

#define FLAGS \
	(FAN_CLASS_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS)

/* By its path below /proc, as the fd itself is O_PATH (EBADF). The files are on a read-only image, and
 * who may write there may also write what boot executed. */
static int except(int group, int program)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", program);
	return fanotify_mark(group,
			     FAN_MARK_ADD | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY,
			     FAN_OPEN_EXEC_PERM, AT_FDCWD, path) < 0
		       ? -errno
		       : 0;
}

static int except_all(const struct boot *boot, int group)
{
	uint32_t cursor = 0;
	const struct store_entry *entry;
	int r = 0;

	while (r == 0 && (entry = store_next(boot->store, STORE_EXEC, &cursor))) {
		if (entry->index != ROLE_SECRETS_REMOTE)
			r = except(group, entry->fd);
	}
	return r;
}

/* The whole file system where it is ours alone, as a copy of the mount has no mark of its own. */
static int mark_root(const struct boot *boot, int group)
{
	CLEANUP(mountinfo_finish) struct mountinfo info = {0};
	int r = mountinfo_read(&info);

	if (r < 0)
		return r;
	const struct mountinfo_entry *root = mountinfo_find(&info, "/");
	bool is_ours = boot->is_host || (root && mountinfo_is_own_overlay(root));
	return fanotify_mark(group, FAN_MARK_ADD | (is_ours ? FAN_MARK_FILESYSTEM : FAN_MARK_MOUNT),
			     FAN_OPEN_EXEC_PERM, AT_FDCWD, "/") < 0
		       ? -errno
		       : 0;
}

/* No programs in memory files, which no mark covers: a parameter of the PID namespace (Linux 6.3). On a
 * host [Sysctl] has the word. What could not be had is seen, and said, by holdfast-gate. */
static void close_memfds(const struct boot *boot)
{
	CLEANUP(fd_closep) int dirfd = -EBADF;

	if (boot->is_host)
		return;
	dirfd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)sysctl_set(dirfd, "vm/memfd_noexec", "2");
}

int execgate_open(struct boot *boot)
{
	/* Who asks is looked up there, by the pid that the kernel names. */
	if (!boot->is_pid1 || proc_is_ours(AT_FDCWD) <= 0)
		return 0;
	CLEANUP(fd_closep) int group = fanotify_init(FLAGS, O_CLOEXEC | O_LARGEFILE);
	if (group < 0)
		return 0;
	int r = except_all(boot, group);
	if (r == 0)
		r = mark_root(boot, group);
	if (r < 0) {
		event_with_i64("errno", -r);
		event_emit(EVENT_WARNING, "exec-gate-failed", NULL,
			   "executions cannot be watched: %s", strerror(-r));
		return 0;
	}
	close_memfds(boot);
	boot->has_exec_gate = true;
	return boot_put(boot, STORE_EXEC_GATE, 0, group);
}
