/*
 * A process that has its root in common with others cannot change its mount namespace (EINVAL): the
 * first process of a machine shares it with the kernel's own threads, which stay where they are.
 *
 * Who enters a user namespace has every capability in it. PID 1 needs two of them, to let its children
 * out (setns(2) asks for SYS_ADMIN and SYS_CHROOT); they give back what was not theirs, in
 * the bounding set too, so that no program of theirs gets more by being root than it would have had.
 */
#include "lib/room.h"

#include <errno.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"

static int restore_capabilities(const struct room *room)
{
	uint64_t surplus = sys_bounding_set() & ~room->bounding;

	for (unsigned long i = 0; i < 64; i++) {
		if ((surplus & UINT64_C(1) << i) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0)
			return -errno;
	}
	return sys_capset(&room->capabilities) < 0 ? -errno : 0;
}

static int enter_user(struct room *room)
{
	if (sys_capget(&room->capabilities) < 0)
		return -errno;
	room->bounding = sys_bounding_set();
	return setns(room->fds[ROOM_FD_USER], CLONE_NEWUSER) < 0 ? -errno : 0;
}

int room_enter(struct room *room)
{
	if (unshare(CLONE_FS) < 0)
		return -errno;
	if (room->fds[ROOM_FD_USER] >= 0) {
		int r = enter_user(room);
		if (r < 0)
			return r;
	}
	return setns(room->fds[ROOM_FD_ROOM], CLONE_NEWNS) < 0 ? -errno : 0;
}

/* Runtimes' profiles refuse chroot(2) without its capability, and where the root is the namespace's own
 * there is no need of it. */
static int change_root(int root)
{
	struct stat here, there;

	if (fchdir(root) < 0 || stat(".", &here) < 0 || stat("/", &there) < 0)
		return -errno;
	if (here.st_dev == there.st_dev && here.st_ino == there.st_ino)
		return 0;
	return chroot(".") < 0 || chdir("/") < 0 ? -errno : 0;
}

int room_leave(const struct room *room)
{
	if (!room_exists(room))
		return 0;
	if (setns(room->fds[ROOM_FD_REAL], CLONE_NEWNS) < 0)
		return -errno;
	int r = change_root(room->fds[ROOM_FD_ROOT]);
	if (r < 0)
		return r;
	if (fchdir(room->fds[ROOM_FD_FOLDER]) < 0)
		return -errno;
	return room->fds[ROOM_FD_USER] >= 0 ? restore_capabilities(room) : 0;
}
