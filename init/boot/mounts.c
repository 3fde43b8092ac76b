/*
 * What a runtime gives to its container and a bare namespace lacks: /proc, /sys, /dev and /run.
 * Only what is missing is mounted, with flags as strict as the place allows. No devpts, so that no
 * pseudo-terminal can be had, and of /dev only what programs cannot do without.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/mountinfo.h"
#include "init/boot/tree.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "lib/str.h"

#define CARRIED_MAX 64
#define STRICT	    (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static const struct {
	const char *name;
	unsigned major, minor;
} devices[] = {
	{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
	{"/dev/random", 1, 8}, {"/dev/urandom", 1, 9},
};

static const struct {
	const char *name, *target;
} device_links[] = {
	{"/dev/fd", "/proc/self/fd"},
	{"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"},
	{"/dev/stderr", "/proc/self/fd/2"},
};

static const struct tmpfs dev_tmpfs = {
	.size_bytes = 64 << 10, .nr_inodes = 64, .mode = 0755, .flags = MS_NOEXEC};
static const struct tmpfs shm_tmpfs = {
	.size_bytes = 64 << 20, .nr_inodes = 4096, .mode = 01777, .flags = MS_NODEV | MS_NOEXEC};
static const struct tmpfs run_tmpfs = {
	.size_bytes = 64 << 20, .nr_inodes = 16384, .mode = 0755, .flags = MS_NODEV | MS_NOEXEC};

static int fail_mount(struct boot *boot, const char *path, int error)
{
	if (error == -ENOENT)
		return boot_fail(boot, EX_OSERR,
				 "the image has no directory %s to mount on; add an empty one",
				 path);
	return boot_fail(boot, EX_OSERR, "cannot mount %s: %s", path, strerror(-error));
}

static int mount_proc(struct boot *boot)
{
	if (access("/proc/self", F_OK) == 0)
		return 0;
	if (!boot->can_mount)
		return boot_fail(boot, EX_OSERR,
				 "there is no /proc, and mounting it needs "
				 "CAP_SYS_ADMIN as PID 1 of a container");
	if (mount("proc", "/proc", "proc", STRICT, NULL) < 0)
		return fail_mount(boot, "/proc", -errno);
	return 0;
}

/* Without a network namespace of our own the kernel refuses sysfs: nothing of ours needs it. */
static int mount_sys(struct boot *boot)
{
	if (access("/sys/kernel", F_OK) == 0 || !boot->can_mount)
		return 0;
	if (mount("sysfs", "/sys", "sysfs", STRICT | MS_RDONLY, NULL) < 0)
		event_emit(EVENT_NOTICE, "mount-missing", NULL, "no /sys: %s", strerror(errno));
	else
		boot->is_sys_ours = true;
	return 0;
}

/* A runtime gives a file system. Nodes in the image's own folder (debootstrap makes them, ptmx among
 * them) are nobody's choice, and there is no /dev/shm with them. */
static bool has_devices(void)
{
	struct mountinfo info;
	struct stat st;

	if (stat("/dev/null", &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3) ||
	    mountinfo_read(&info) < 0)
		return false;
	bool is_given = mountinfo_find(&info, "/dev") != NULL;
	mountinfo_finish(&info);
	return is_given;
}

static int fill_dev(struct boot *boot)
{
	for (size_t i = 0; i < ARRAY_COUNT(devices); i++) {
		if (mknod(devices[i].name, S_IFCHR | 0666,
			  makedev(devices[i].major, devices[i].minor)) < 0 ||
		    chmod(devices[i].name, 0666) < 0)
			return boot_fail(boot, EX_OSERR, "cannot make %s: %s", devices[i].name,
					 strerror(errno));
	}
	return 0;
}

/* What every /dev has besides its devices. */
static int complete_dev(struct boot *boot)
{
	for (size_t i = 0; i < ARRAY_COUNT(device_links); i++)
		(void)symlink(device_links[i].target, device_links[i].name);
	(void)mkdir("/dev/shm", 01777);
	int r = tree_mount_tmpfs("/dev/shm", &shm_tmpfs);
	return r < 0 ? fail_mount(boot, "/dev/shm", r) : 0;
}

static int mount_dev(struct boot *boot)
{
	if (!boot->can_mount)
		return 0;
	/* On a host it is the kernel's own, from the initramfs. A runtime gives a whole one. */
	if (has_devices())
		return boot->is_host ? complete_dev(boot) : 0;
	int r = tree_mount_tmpfs("/dev", &dev_tmpfs);
	if (r < 0)
		return fail_mount(boot, "/dev", r);
	r = fill_dev(boot);
	if (r == 0)
		r = complete_dev(boot);
	if (r != 0)
		return r;
	/* Nothing is added to /dev any more, and opening devices does not need a writable mount. */
	if (mount(NULL, "/dev", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC,
		  NULL) < 0)
		return fail_mount(boot, "/dev", -errno);
	return 0;
}

/* What a runtime mounted below /run (Docker and Kubernetes: secrets) comes along onto our tmpfs. */
struct carried {
	const char *path; /* borrowed from the mountinfo */
	int fd;
	bool is_directory;
};

struct carrier {
	struct carried items[CARRIED_MAX];
	size_t count;
};

static void carrier_finish(struct carrier *carrier)
{
	for (size_t i = 0; i < carrier->count; i++)
		carrier->items[i].fd = fd_close(carrier->items[i].fd);
}

static bool is_covered(const struct carrier *carrier, const char *path)
{
	for (size_t i = 0; i < carrier->count; i++) {
		if (path_is_within(path, carrier->items[i].path))
			return true;
	}
	return false;
}

/* Opens the topmost mounts below /run; what is mounted below those follows by MS_REC. */
static int carrier_take(struct carrier *carrier, const struct mountinfo *info)
{
	for (size_t i = 0; i < info->count; i++) {
		const char *path = info->entries[i].point;
		struct stat st;
		if (!str_starts(path, "/run/") || is_covered(carrier, path))
			continue;
		if (carrier->count == CARRIED_MAX)
			return -E2BIG;
		int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		(void)fstat(fd, &st);
		carrier->items[carrier->count++] = (struct carried){path, fd, S_ISDIR(st.st_mode)};
	}
	return 0;
}

static int make_mount_point(const struct carried *item)
{
	if (item->is_directory)
		return tree_make(item->path, 0755);
	int r = tree_make_parent(item->path);
	if (r < 0)
		return r;
	CLEANUP(fd_closep) int fd = open(item->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	return fd < 0 ? -errno : 0;
}

static int carrier_put(const struct carrier *carrier)
{
	for (size_t i = 0; i < carrier->count; i++) {
		const struct carried *item = &carrier->items[i];
		char source[32];
		int r = make_mount_point(item);
		if (r < 0)
			return r;
		(void)snprintf(source, sizeof(source), "/proc/self/fd/%d", item->fd);
		if (mount(source, item->path, NULL, MS_BIND | MS_REC, NULL) < 0)
			return -errno;
	}
	return 0;
}

static int cover_run(struct boot *boot, const struct mountinfo *info)
{
	CLEANUP(carrier_finish) struct carrier carrier = {0};
	int r = carrier_take(&carrier, info);

	if (r == 0)
		r = tree_mount_tmpfs("/run", &run_tmpfs);
	if (r == -ENOENT || tree_is_refusal(r))
		return 0; /* what needs it says so */
	if (r < 0)
		return fail_mount(boot, "/run", r);
	r = carrier_put(&carrier);
	if (r < 0)
		return boot_fail(boot, EX_OSERR,
				 "cannot keep what the runtime mounted below /run: %s",
				 strerror(-r));
	return 0;
}

/* Whether /run is memory of its own: not a folder of a root that is memory itself. */
static bool has_run(void)
{
	struct stat run, root;

	return tree_is_memory("/run") && stat("/run", &run) == 0 && stat("/", &root) == 0 &&
	       run.st_dev != root.st_dev;
}

/* Also on a root that can be written: what lies in /run must not outlive the instance. */
static int mount_run(struct boot *boot)
{
	struct mountinfo info;

	if (!boot->can_mount || has_run())
		return 0;
	if (mountinfo_read(&info) < 0)
		return boot_fail(boot, EX_SOFTWARE, "cannot read /proc/self/mountinfo");
	int status = cover_run(boot, &info);
	mountinfo_finish(&info);
	return status;
}

int mounts_complete(struct boot *boot)
{
	static int (*const mounters[])(struct boot *) = {mount_proc, mount_sys, mount_dev,
							 mount_run};
	mode_t umask_before = umask(0);
	int status = 0;

	for (size_t i = 0; i < ARRAY_COUNT(mounters) && status == 0; i++)
		status = mounters[i](boot);
	(void)umask(umask_before);
	return status;
}
