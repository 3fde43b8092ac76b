/*
 * What a unit's process has mounted for itself: its scratch, its own /tmp, its root. Not being able to
 * mount means the runtime's mount at that path where it is one that will do; scratch that would be
 * unbounded, or on a disk, is a failure (design, section 1, promise 6).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/str.h"
#include "supervisor/child.h"

#define TMPFS_MAGIC_NUMBER 0x01021994

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
