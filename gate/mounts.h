#pragma once
/*
 * The mounts that the exec gate watches, and from which of them something may be executed.
 *
 * A mark on a mount is not inherited by its copy in another namespace (found on 6.18), one on a file
 * system is met through every mount of it, wherever that is. So file systems are marked that are ours
 * alone: all of a machine's, a container's overlay, scratch that the plan names. Of others, which the
 * runtime has bound from the machine's, only the mount: a machine whose every execution waited for a
 * container would be a bad neighbour's.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/mountinfo.h"
#include "lib/plan.h"

enum mount_place {
	MOUNT_UNKNOWN,	/* not seen yet */
	MOUNT_IMAGE,	/* of the file system that the root is of, and within the root */
	MOUNT_DECLARED, /* scratch with `exec` */
	MOUNT_OTHER,	/* brought along */
	MOUNT_PLACE_COUNT
};

#define MOUNTS_MAX 1024

/* Where the root lies: what else is the image is told by it. */
struct mounts_root {
	uint32_t major, minor;
	char path[256]; /* within its file system */
};

/* What a mount is. */
struct mounts_spot {
	enum mount_place place;
	uint32_t point_length; /* of the path that it is mounted at */
};

struct mounts_known {
	uint64_t id;
	uint64_t hash; /* of device and point: ids are used again */
	struct mounts_spot spot;
};

struct mounts {
	const struct plan *plan;
	bool is_host;
	struct mounts_root root;
	bool is_root_ours; /* its whole file system is marked, so every copy of the mount is */
	struct mounts_known known[MOUNTS_MAX];
	uint32_t n_known;
};

/* Pure. The place of an entry of a mount table, whose points are as the plan's scratch has them. */
enum mount_place mounts_place(const struct mounts *mounts, const struct mountinfo_entry *entry);
/*
 * Pure. Does a unit name that file for execution, as a command or in ExecPaths=, and mean what is mounted
 * there? A path above the mount's point was written before anybody brought that along.
 */
bool mounts_is_named(const struct mounts *mounts, const char *path, uint32_t point_length);
/* Pure. Is the whole file system ours, so that it may be marked as one? */
bool mounts_is_ours(const struct mounts *mounts, const struct mountinfo_entry *entry);

/*
 * Reads /proc/self/mountinfo and marks for group what was not there the last time. A mount that cannot
 * be marked and could be executed from is said once, by an event. 0, or -errno when the table cannot be
 * read or the root cannot be marked.
 */
int mounts_refresh(struct mounts *mounts, int group);
/* The mount with that id in our own namespace, as of the last refresh. */
struct mounts_spot mounts_find(const struct mounts *mounts, uint64_t id);

/*
 * The mount with that id in the namespace of pid; MOUNT_UNKNOWN when there is no such. All that is mounted there is marked for group on the way, if it is >= 0.
 */
struct mounts_spot mounts_visit(const struct mounts *mounts, int proc_fd, int32_t pid, uint64_t id,
				int group);
