#include "lib/sys.h"
#include "supervisor/child.h"

/*
 * Rights of a unit's process: what it shares, what it may use, who it is. Each step changes only
 * what differs from the supervisor itself. Where the instance lacks the right to do it, the ladder
 * (design, section 1, promise 6) says whether that is a failure: not being able to protect a
 * service less than asked for is one for scratch (it would be unbounded, or on a disk) and for ids;
 * a lower priority or a private /tmp is told and done without, as distribution units ask for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/raw.h"
#include "lib/str.h"

#ifndef PR_CAP_AMBIENT
#define PR_CAP_AMBIENT	     47
#define PR_CAP_AMBIENT_RAISE 2
#endif
#define TMPFS_MAGIC_NUMBER 0x01021994
#define GROUPS_MAX	   256
#define BIT(n)		   (UINT64_C(1) << (n))

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

/* ---- Mounts. */

/* Whether path is the root of a tmpfs that can be written to and holds at most size bytes. */
static bool is_bounded_tmpfs(const char *path, uint64_t size)
{
	struct stat here, above;
	struct statfs fs;
	char parent[CHILD_PATH_MAX];

	if (snprintf(parent, sizeof(parent), "%s/..", path) >= (int)sizeof(parent))
		return false;
	if (statfs(path, &fs) < 0 || stat(path, &here) < 0 || stat(parent, &above) < 0)
		return false;
	return fs.f_type == TMPFS_MAGIC_NUMBER && here.st_dev != above.st_dev &&
	       !((unsigned long)fs.f_flags & ST_RDONLY) && fs.f_blocks > 0 &&
	       (size == 0 || (uint64_t)fs.f_blocks <= size / (uint64_t)fs.f_bsize);
}

/* The lowest rung: the runtime mounted it for us, or it says how to. */
static int accept_mounted(struct child *child, const struct plan_scratch *scratch, const char *path)
{
	uint64_t size = scratch->size_bytes;
	struct strbuf text;

	if (is_bounded_tmpfs(path, size))
		return 0;
	strbuf_init(&text, child->text, sizeof(child->text));
	strbuf_addf(
		&text,
		"%s (nothing can be mounted here, and there is no tmpfs of at most %llu bytes at "
		"that path: add to the pod \"volumes: [{name: scratch, emptyDir: {medium: Memory, "
		"sizeLimit: %llu}}]\" and to the container \"volumeMounts: [{name: scratch, "
		"mountPath: %s}]\")",
		path, (unsigned long long)size, (unsigned long long)size, path);
	child->detail = child->text;
	return -EPERM;
}

static void render_options(const struct child *child, const struct plan_scratch *scratch,
			   struct strbuf *options)
{
	strbuf_addf(options, "mode=%o", scratch->mode ? scratch->mode : 0755U);
	if (scratch->size_bytes)
		strbuf_addf(options, ",size=%llu", (unsigned long long)scratch->size_bytes);
	if (scratch->nr_inodes)
		strbuf_addf(options, ",nr_inodes=%llu", (unsigned long long)scratch->nr_inodes);
	if (child->unit->uid != PLAN_NO_ID)
		strbuf_addf(options, ",uid=%u", child->unit->uid);
	if (child->unit->gid != PLAN_NO_ID)
		strbuf_addf(options, ",gid=%u", child->unit->gid);
}

static int mount_tmpfs(const struct child *child, const struct plan_scratch *scratch,
		       const char *path)
{
	unsigned long flags = MS_NOSUID | MS_NODEV;
	char text[128];
	struct strbuf options;

	if (!(scratch->flags & SCRATCH_EXEC))
		flags |= MS_NOEXEC;
	if (scratch->flags & SCRATCH_READ_ONLY)
		flags |= MS_RDONLY;
	strbuf_init(&options, text, sizeof(text));
	render_options(child, scratch, &options);
	if (mount("holdfast", path, "tmpfs", flags, text) == 0)
		return 0;
	if (errno != ENOENT || mkdir(path, 0755) < 0)
		return -errno;
	return mount("holdfast", path, "tmpfs", flags, text) < 0 ? -errno : 0;
}

static int mount_scratch(struct child *child, const struct plan_scratch *scratch, bool can_mount)
{
	const struct plan *plan = child->spawner->plan;
	char path[CHILD_PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%s", plan_string(plan, child->unit->root_directory),
		     plan_string(plan, scratch->path)) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	child->detail = plan_string(plan, scratch->path);
	int r = can_mount ? mount_tmpfs(child, scratch, path) : -EPERM;
	/* AppArmor answers EACCES. */
	return r == -EPERM || r == -EACCES ? accept_mounted(child, scratch, path) : r;
}

static const char *const tmp_paths[] = {"/tmp", "/var/tmp"};

static void private_path(const char *path, const char *unit, char *folder, size_t size)
{
	(void)snprintf(folder, size, "%s/holdfast-private-%s", path, unit);
}

/* The unit's own folder below a directory that everybody may write to: ours, or nobody's. */
static int make_private(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 0077) ? 0 : -EEXIST;
}

/* A folder of the unit's in path over path itself: bounded by what path is bounded by, and the same
 * for all commands of the unit. Where path is read-only, a small tmpfs. */
static int mount_private(struct child *child, const char *path)
{
	static const struct plan_scratch small = {
		.size_bytes = 64 << 20, .nr_inodes = 1 << 14, .mode = 01777};
	char folder[CHILD_PATH_MAX], inner[CHILD_PATH_MAX + 8];

	if (access(path, F_OK) < 0)
		return 0;
	private_path(path, child->name, folder, sizeof(folder));
	(void)snprintf(inner, sizeof(inner), "%s/tmp", folder);
	int r = make_private(folder);
	if (r == -EROFS)
		return mount_tmpfs(child, &small, path);
	if (r < 0)
		return r;
	if (mkdir(inner, 01777) == 0)
		(void)chmod(inner, 01777);
	return mount(inner, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int mount_private_tmp(struct child *child, bool can_mount)
{
	for (size_t i = 0; i < ARRAY_COUNT(tmp_paths); i++) {
		child->detail = tmp_paths[i];
		int r = can_mount ? mount_private(child, tmp_paths[i]) : -EPERM;
		if (r == -EPERM || r == -EACCES) {
			event_emit(EVENT_NOTICE, "private-tmp-shared", child->name,
				   "%s is shared with other units: nothing can be mounted here",
				   tmp_paths[i]);
			return 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

void confine_remove_private(const struct spawner *spawner, uint32_t unit)
{
	char folder[CHILD_PATH_MAX];

	if (!(plan_unit(spawner->plan, unit)->flags & UNIT_PRIVATE_TMP))
		return;
	for (size_t i = 0; i < ARRAY_COUNT(tmp_paths); i++) {
		private_path(tmp_paths[i], plan_unit_name(spawner->plan, unit), folder,
			     sizeof(folder));
		if (make_private(folder) == 0)
			(void)directory_remove(AT_FDCWD, folder, false);
	}
}

int confine_mounts(struct child *child)
{
	struct plan_range range = child->unit->scratch;
	bool wants_tmp = child->unit->flags & UNIT_PRIVATE_TMP;

	if ((range.count == 0 && !wants_tmp) || (child->request->exec->flags & EXEC_FULL_RIGHTS))
		return 0;
	bool can_mount =
		unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0;
	int r = wants_tmp ? mount_private_tmp(child, can_mount) : 0;
	for (uint32_t i = 0; r == 0 && i < range.count; i++)
		r = mount_scratch(child, plan_scratch(child->spawner->plan, range.first + i),
				  can_mount);
	return r;
}

int confine_root(struct child *child)
{
	const char *root = plan_string(child->spawner->plan, child->unit->root_directory);

	if (*root == '\0' || ((child->unit->flags & UNIT_ROOT_DIRECTORY_START_ONLY) &&
			      child->request->phase != EXEC_START))
		return 0;
	child->detail = root;
	return chroot(root) < 0 || chdir("/") < 0 ? -errno : 0;
}

/* ---- Ids and capabilities. By system call: libc's versions of set*id take locks for threads that
 * we do not have, and a child that was killed in one would leave it locked in the supervisor. */

static bool has_capability(const struct child *child, unsigned capability)
{
	return child->spawner->capabilities & BIT(capability);
}

static bool keeps_uid(const struct child *child)
{
	return child->unit->uid == PLAN_NO_ID || child->unit->uid == child->spawner->uid;
}

static bool keeps_gid(const struct child *child)
{
	return child->unit->gid == PLAN_NO_ID || child->unit->gid == child->spawner->gid;
}

int confine_bounding(struct child *child)
{
	uint64_t drop = child->spawner->bounding & ~child->unit->bounding_capabilities;

	if (!child->drops_rights || !(child->unit->flags & UNIT_BOUNDING) || drop == 0)
		return 0;
	/* What the set would keep away, set-id files and capabilities of files, this does too. */
	if (!has_capability(child, CAP_SETPCAP))
		return RAW2(prctl, PR_SET_NO_NEW_PRIVS, 1);
	int r = 0;
	for (unsigned long i = 0; r == 0 && i < 64; i++) {
		if (drop & BIT(i))
			r = RAW2(prctl, PR_CAPBSET_DROP, i);
	}
	return r;
}

static int set_groups(const struct child *child)
{
	struct plan_list list = child->unit->groups;
	uint32_t groups[GROUPS_MAX];

	if (list.count > GROUPS_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < list.count; i++)
		groups[i] = plan_list_get(child->spawner->plan, list, i);
	return RAW2(setgroups, list.count, RAW_POINTER(groups));
}

int confine_groups(struct child *child)
{
	uint32_t gid = child->unit->gid;
	bool is_asked = child->unit->uid != PLAN_NO_ID || gid != PLAN_NO_ID ||
			child->unit->groups.count > 0;

	if (!child->drops_rights || !is_asked)
		return 0;
	/* Already who it should be, and unable to be anyone else. */
	if (keeps_uid(child) && keeps_gid(child) && !has_capability(child, CAP_SETGID))
		return 0;
	int r = set_groups(child);
	if (r == -EPERM)
		child->detail = "this needs CAP_SETGID";
	if (r < 0 || gid == PLAN_NO_ID)
		return r;
	return RAW3(setresgid, gid, gid, gid);
}

static bool wants_ambient(const struct child *child)
{
	return child->drops_rights && (child->unit->flags & UNIT_AMBIENT) &&
	       child->unit->ambient_capabilities != 0;
}

int confine_user(struct child *child)
{
	uint32_t uid = child->unit->uid;

	if (!child->drops_rights || keeps_uid(child))
		return 0;
	int r = wants_ambient(child) ? RAW2(prctl, PR_SET_KEEPCAPS, 1) : 0;
	if (r == 0)
		r = RAW3(setresuid, uid, uid, uid);
	if (r == -EPERM) {
		(void)snprintf(child->text, sizeof(child->text),
			       "uid %u (without CAP_SETUID only our own, %u, can be had: run the "
			       "container as the unit's user)",
			       uid, child->spawner->uid);
		child->detail = child->text;
	}
	return r;
}

static int set_capabilities(uint64_t permitted, uint64_t inheritable)
{
	const struct sys_capabilities sets = {
		.effective = permitted,
		.permitted = permitted,
		.inheritable = inheritable,
	};

	return sys_capset(&sets) < 0 ? -errno : 0;
}

int confine_capabilities(struct child *child)
{
	uint64_t ambient = child->unit->ambient_capabilities;
	uint64_t permitted = child->spawner->capabilities;
	uint64_t inheritable = child->spawner->inheritable;

	if (!child->drops_rights)
		return 0;
	if (!wants_ambient(child)) {
		/* root's inheritable set is added to what the bounding set leaves: capabilities(7) */
		if (!(child->unit->flags & UNIT_BOUNDING) || !keeps_uid(child) ||
		    !(inheritable & ~child->unit->bounding_capabilities))
			return 0;
		return set_capabilities(permitted,
					inheritable & child->unit->bounding_capabilities);
	}
	if (ambient & ~permitted) {
		(void)snprintf(child->text, sizeof(child->text),
			       "AmbientCapabilities= asks for %#llx, of which we lack %#llx",
			       (unsigned long long)ambient,
			       (unsigned long long)(ambient & ~permitted));
		child->detail = child->text;
		return -EPERM;
	}
	int r = set_capabilities(keeps_uid(child) ? permitted : ambient, ambient);
	for (unsigned long i = 0; r == 0 && i < 64; i++) {
		if (ambient & BIT(i))
			r = RAW3(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i);
	}
	return r;
}

int confine_no_new_privileges(struct child *child)
{
	if (!child->drops_rights || !(child->unit->flags & UNIT_NO_NEW_PRIVILEGES))
		return 0;
	return RAW2(prctl, PR_SET_NO_NEW_PRIVS, 1);
}
