/*
 * A cgroup2 subtree of our own, where one was delegated: a cgroup for each unit holds its processes
 * together, whatever they do. No process may sit in a cgroup whose children have controllers, so
 * what runs already (PID 1 and we) moves into `holdfast` first, and `units` is for the units.
 *
 * Delegated means: a cgroup2 that is not the machine's root (which alone has no cgroup.events), of
 * which this process is at the top in its own namespace, and that can be written. On a host there is
 * none yet, and all of it is ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"
#include "lib/sys.h"

#define CGROUP_PATH "/sys/fs/cgroup"
#define OWN	    "holdfast"
#define UNITS	    "units"
#define STRICT	    (MS_NOSUID | MS_NODEV | MS_NOEXEC)
/* A service that has a cgroup namespace of its own can do nothing to what is above it, and what is
 * promised to a cgroup holds for all below it (Documentation/admin-guide/cgroup-v2.rst). */
#define HOST_OPTIONS "nsdelegate,memory_recursiveprot"

/* Enabled one by one: one that is missing must not cost the others. */
static const char *const controllers[] = {"+cpu", "+memory", "+pids", "+io"};

static bool has_own_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/cgroup", &st) == 0 && st.st_ino != SYS_FIRST_CGROUP_NAMESPACE;
}

/* We mounted /sys ourselves, so the place for it is empty. In a namespace of its own cgroup2 shows
 * our part alone, and our mount changes no option of the machine's. */
static void mount_missing(const struct boot *boot)
{
	if (boot->is_host)
		(void)mount("cgroup2", CGROUP_PATH, "cgroup2", STRICT, HOST_OPTIONS);
	else if (boot->can_mount && boot->is_sys_ours && has_own_namespace())
		(void)mount("cgroup2", CGROUP_PATH, "cgroup2", STRICT, NULL);
}

/* An fd of the delegated top, or -errno with the reason. */
static int open_top(const struct boot *boot, const char **ret_why)
{
	CLEANUP(fd_closep) int fd = open(CGROUP_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char own[4096];
	struct statfs st;

	*ret_why = "there is no cgroup2 at " CGROUP_PATH;
	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &st) < 0 || (unsigned long)st.f_type != CGROUP2_SUPER_MAGIC)
		return -ENODEV;
	*ret_why = "holdfast is not PID 1, and the tree is somebody else's";
	if (!boot->is_pid1)
		return -EPERM;
	*ret_why = "the tree is the machine's, not delegated to this container";
	if (!boot->is_host && faccessat(fd, "cgroup.events", F_OK, 0) < 0)
		return -EPERM;
	if (io_read_file(AT_FDCWD, "/proc/self/cgroup", own, sizeof(own)) < 0 ||
	    !strstr(own, "0::/\n"))
		return -EPERM;
	return fd_steal(&fd);
}

static int make_directory(int top, const char *name)
{
	return mkdirat(top, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int move_in(int top, int pid)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%d", pid);
	return io_write_file(top, OWN "/cgroup.procs", text);
}

static void enable_controllers(int top, const char *path, struct strbuf *ret_missing)
{
	for (size_t i = 0; i < ARRAY_COUNT(controllers); i++) {
		if (io_write_file(top, path, controllers[i]) < 0 && ret_missing)
			strbuf_addf(ret_missing, " %s", controllers[i] + 1);
	}
}

static int divide(int top, struct strbuf *ret_missing)
{
	int r = make_directory(top, OWN);

	if (r == 0)
		r = make_directory(top, UNITS);
	if (r == 0)
		r = move_in(top, getppid());
	if (r == 0)
		r = move_in(top, getpid());
	if (r < 0)
		return r;
	enable_controllers(top, "cgroup.subtree_control", NULL);
	enable_controllers(top, UNITS "/cgroup.subtree_control", ret_missing);
	int units = openat(top, UNITS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return units < 0 ? -errno : units;
}

/* Units that ask for limits must not believe to have them. */
static void report_none(struct boot *boot, const char *why)
{
	uint32_t n_limited = 0;

	for (uint32_t i = 0; i < plan_unit_count(&boot->plan); i++)
		n_limited += plan_unit(&boot->plan, i)->resources.count > 0;
	if (n_limited == 0)
		boot_protect(boot, "cgroups", PROTECTION_REDUCED, "sessions and process groups",
			     "%s", why);
	else
		boot_protect(boot, "cgroups", PROTECTION_NONE, "sessions and process groups",
			     "%s: what %u units say of memory, tasks and processor limits nothing",
			     why, n_limited);
}

int cgroup_prepare(struct boot *boot)
{
	char text[64];
	struct strbuf missing;
	const char *why;

	strbuf_init(&missing, text, sizeof(text));
	mount_missing(boot);
	CLEANUP(fd_closep) int top = open_top(boot, &why);
	CLEANUP(fd_closep) int units = top < 0 ? -EBADF : divide(top, &missing);
	if (units < 0) {
		report_none(boot, top < 0 ? why : strerror(-units));
		return 0;
	}
	boot_protect(boot, "cgroups", missing.length ? PROTECTION_REDUCED : PROTECTION_FULL,
		     "own cgroup2 subtree", "%s%s", missing.length ? "without controllers:" : "",
		     missing.data);
	return boot_put(boot, STORE_CGROUP, 0, units);
}
