#include "init/initramfs/switch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/initramfs/early.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define DEPTH_MAX 16

/* ---- what is left behind */

static void delete_below(int fd, dev_t device, int depth);

/* A name that is a folder of this file system is emptied first; a mount point cannot be removed. */
static void delete_entry(int parent, const char *name, dev_t device, int depth)
{
	struct stat st;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != device)
		return;
	if (!S_ISDIR(st.st_mode)) {
		(void)unlinkat(parent, name, 0);
		return;
	}
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		delete_below(fd, device, depth + 1);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* Takes fd. */
static void delete_below(int fd, dev_t device, int depth)
{
	CLEANUP(fd_closedirp) DIR *dir = depth < DEPTH_MAX ? fdopendir(fd) : NULL;

	if (!dir) {
		(void)fd_close(fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			delete_entry(dirfd(dir), entry->d_name, device, depth);
	}
}

void switch_delete(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		(void)fd_close(fd);
	else
		delete_below(fd, st.st_dev, 0);
}

/* ---- what is gone to */

/* "WHAT NAME: why". */
static int fail(char message[ROOT_MESSAGE_MAX], int error, const char *what, const char *name)
{
	(void)snprintf(message, ROOT_MESSAGE_MAX, "%s %s: %s", what, name, strerror(-error));
	return error;
}

int switch_check(char ret_message[ROOT_MESSAGE_MAX])
{
	CLEANUP(fd_closep) int root = open(ROOT_MOUNT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (root < 0)
		return fail(ret_message, -errno, "cannot open", ROOT_MOUNT);
	/* By no symbolic link: it would lead to where we are now. */
	for (size_t i = 0; i < EARLY_MOUNTS_COUNT; i++) {
		if (fstatat(root, early_mounts[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISDIR(st.st_mode))
			return fail(ret_message, -ENOTDIR,
				    "the root has no directory to mount on called",
				    early_mounts[i]);
	}
	return 0;
}

static int move_mounts(char message[ROOT_MESSAGE_MAX])
{
	char from[16], to[sizeof(ROOT_MOUNT) + 16];

	for (size_t i = 0; i < EARLY_MOUNTS_COUNT; i++) {
		(void)snprintf(from, sizeof(from), "/%s", early_mounts[i]);
		(void)snprintf(to, sizeof(to), ROOT_MOUNT "/%s", early_mounts[i]);
		if (mount(from, to, NULL, MS_MOVE, NULL) < 0)
			return fail(message, -errno, "cannot move", from);
	}
	return 0;
}

int switch_root(char ret_message[ROOT_MESSAGE_MAX])
{
	char name[] = "holdfast", *argv[] = {name, NULL}, *envp[] = {NULL};
	int r = move_mounts(ret_message);

	if (r < 0)
		return r;
	if (chdir(ROOT_MOUNT) < 0)
		return fail(ret_message, -errno, "cannot enter", ROOT_MOUNT);
	int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (old >= 0)
		switch_delete(old);
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return fail(ret_message, -errno, "cannot make a root of", ROOT_MOUNT);
	(void)execve(SWITCH_PROGRAM, argv, envp);
	return fail(ret_message, -errno, "the root's program cannot be run,", SWITCH_PROGRAM);
}
