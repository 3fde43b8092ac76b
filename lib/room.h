#pragma once
/*
 * PID 1's room: the mount namespace that whoever enters the instance from outside meets, and the way
 * back out of it for PID 1's own children. boot makes both and proves them, PID 1 enters (setns(2)).
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/sys.h"

/* What stands there under the names of shells, beside holdfast's own programs. */
#define ROOM_STUB "holdfast-refuse"

/*
 * In a room with holdfastctl, for its dump: what /proc, /dev and scratch would tell it outside, and nothing that leads
 * there. pressure/cpu, memory, io (/proc/pressure); kmsg (/dev/kmsg); scratch/PATH/.use, a file without a name or a byte on that
 * scratch, for statvfs(2). Each where it could be had.
 */
#define ROOM_MACHINE	 "/.holdfast"
#define ROOM_SCRATCH_USE ".use"

/* Indexes of STORE_ROOM. */
enum room_fd {
	ROOM_FD_ROOM,	/* the room's mount namespace */
	ROOM_FD_REAL,	/* the one that all others live in */
	ROOM_FD_ROOT,	/* O_PATH of its root: setns(2) leaves a chroot(2) */
	ROOM_FD_FOLDER, /* O_PATH of the folder that PID 1 was started in */
	ROOM_FD_USER,	/* the user namespace that owns the two; -EBADF: the first one does */
	ROOM_FD_COUNT
};

struct room {
	int fds[ROOM_FD_COUNT]; /* borrowed */
	/* As it was before entering a user namespace, where every process begins with all of them. */
	struct sys_capabilities capabilities;
	uint64_t bounding;
};

/* A room that is none. */
#define ROOM_NONE                                                 \
	{                                                         \
		.fds = { -EBADF, -EBADF, -EBADF, -EBADF, -EBADF } \
	}

static inline bool room_exists(const struct room *room)
{
	return room->fds[ROOM_FD_ROOM] >= 0;
}

/* This process, of one thread, is in it then, for good: what it has not opened before it cannot open by
 * a path any more. 0 or -errno (setns(2)). */
int room_enter(struct room *room);

/* In a child of one that entered: back to the real root, to the same folder, with the rights that were there before. 0 or
 * -errno. Async-signal-safe. */
int room_leave(const struct room *room);
