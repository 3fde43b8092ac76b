#pragma once
/*
 * Questions about paths, and memory mounted on them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tmpfs {
	uint64_t size_bytes; /* 0: the kernel's default, half of the memory */
	uint64_t nr_inodes;  /* 0: the kernel's default */
	mode_t mode;
	unsigned long flags; /* MS_… beside MS_NOSUID */
};

/* Mounts it on an existing directory, always nosuid. 0 or -errno (mount(2)). */
int tree_mount_tmpfs(const char *path, const struct tmpfs *tmpfs);

/* Capabilities, seccomp or an LSM say no (EPERM, ENOSYS, EACCES): mounting is not for us here, as
 * opposed to a mount that went wrong. */
bool tree_is_refusal(int error);

bool tree_is_directory(const char *path);
/* False also when it cannot be read. */
bool tree_is_empty(const char *path);
/* Whether we may write to path, or, where it does not exist, to its nearest ancestor that does. 0
 * or -errno: -EROFS, -EACCES … */
int tree_check_writable(const char *path);
bool tree_is_memory(const char *path); /* on tmpfs or ramfs */

/* Makes the directories above path that are missing (0755). 0 or -errno. */
int tree_make_parent(const char *path);
/* Makes path and what is missing above it. 0 or -errno; an existing directory is left as it is. */
int tree_make(const char *path, mode_t mode);

/* A directory that is ours: made, or found with our uid, which may lie in a place where everybody
 * can make entries. 0, -EPERM when it is somebody else's or a link, or -errno. */
int tree_own(const char *path, mode_t mode);
