#include "init/pid1/host.h"

#include <mntent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sys.h"

#define MOUNTS_MAX 4096
/* One mount may lie on another, or be held by one that goes in the same round. */
#define ROUNDS 8

bool host_is_first_init(void)
{
	struct stat st;

	return getpid() == 1 && stat("/proc/self/ns/pid", &st) == 0 &&
	       st.st_ino == SYS_FIRST_PID_NAMESPACE;
}

bool host_may_be_first_init(void)
{
	/* It is boot that mounts /proc there. */
	return getpid() == 1 && (access("/proc/self/ns/pid", F_OK) < 0 || host_is_first_init());
}

/* The kernel's own file systems hold nothing that could be lost, and we need /proc. */
static bool is_worth_it(const struct mntent *mount)
{
	static const char *const kept[] = {"proc", "sysfs", "devtmpfs", "cgroup2", "devpts"};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		if (strcmp(mount->mnt_type, kept[i]) == 0)
			return false;
	}
	return true;
}

static size_t list_mounts(char *ret_paths[MOUNTS_MAX])
{
	FILE *file = setmntent("/proc/self/mounts", "re");
	size_t count = 0;

	if (!file)
		return 0;
	for (struct mntent *mount; count < MOUNTS_MAX && (mount = getmntent(file));) {
		if (is_worth_it(mount))
			ret_paths[count++] = strdup(mount->mnt_dir);
	}
	(void)endmntent(file);
	return count;
}

/* In reverse order: what was mounted later may lie on what was mounted before. */
static bool unmount_round(void)
{
	static char *paths[MOUNTS_MAX];
	bool has_changed = false;

	for (size_t i = list_mounts(paths); i > 0; i--) {
		char *path = paths[i - 1];
		if (!path)
			continue;
		if (umount2(path, UMOUNT_NOFOLLOW) == 0)
			has_changed = true;
		else
			(void)mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL);
		free(path);
	}
	return has_changed;
}

void host_unmount_all(void)
{
	/* First, because an unmount may hang. */
	sync();
	for (int i = 0; i < ROUNDS && unmount_round(); i++)
		;
	sync();
}

void host_end(bool is_restart)
{
	(void)reboot(is_restart ? RB_AUTOBOOT : RB_POWER_OFF);
}
