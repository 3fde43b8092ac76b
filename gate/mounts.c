#include "gate/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/hash.h"
#include "lib/path.h"
#include "lib/str.h"

/* ---- what a mount is */

static bool is_scratch(const struct plan *plan, const char *point, uint32_t flags)
{
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_SCRATCH); i++) {
		const struct plan_scratch *scratch = plan_scratch(plan, i);
		if ((scratch->flags & flags) == flags &&
		    str_equal(plan_string(plan, scratch->path), point))
			return true;
	}
	return false;
}

enum mount_place mounts_place(const struct mounts *mounts, const struct mountinfo_entry *entry)
{
	const struct mounts_root *root = &mounts->root;

	if (entry->major == root->major && entry->minor == root->minor &&
	    path_is_within(entry->root, root->path))
		return MOUNT_IMAGE;
	return is_scratch(mounts->plan, entry->point, SCRATCH_EXEC) ? MOUNT_DECLARED : MOUNT_OTHER;
}

bool mounts_is_named(const struct mounts *mounts, const char *path, uint32_t point_length)
{
	const struct plan *plan = mounts->plan;

	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_EXECS); i++) {
		if (str_equal(plan_string(plan, plan_exec(plan, i)->path), path))
			return true;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_RULES); i++) {
		const struct plan_rule *rule = plan_rule(plan, i);
		const char *named = plan_string(plan, rule->path);
		if ((rule->rights & RULE_EXECUTE) && strlen(named) >= point_length &&
		    path_is_within(path, named))
			return true;
	}
	return false;
}

bool mounts_is_ours(const struct mounts *mounts, const struct mountinfo_entry *entry)
{
	if (mounts->is_host)
		return true;
	if (mountinfo_is_own_overlay(entry))
		return true;
	return str_equal(entry->root, "/") && str_equal(entry->type, "tmpfs") &&
	       is_scratch(mounts->plan, entry->point, 0);
}

/* ---- marks */

static int mark(const struct mounts *mounts, int group, const struct mountinfo_entry *entry,
		int dirfd, const char *path)
{
	unsigned what = mounts_is_ours(mounts, entry) ? FAN_MARK_FILESYSTEM : FAN_MARK_MOUNT;

	return fanotify_mark(group, FAN_MARK_ADD | what, FAN_OPEN_EXEC_PERM, dirfd, path) < 0
		       ? -errno
		       : 0;
}

/* /proc and its like refuse such marks (EINVAL): they have no programs. What nothing can be executed
 * from is not worth a warning. */
static void say_unmarked(const struct mountinfo_entry *entry, int error)
{
	if (error == -EINVAL || mountinfo_has_option(entry, "noexec"))
		return;
	event_with_string("mount", entry->point);
	event_with_i64("errno", -error);
	event_emit(EVENT_WARNING, "exec-gate-mount", NULL,
		   "what is executed from %s is not looked at: %s", entry->point, strerror(-error));
}

/* ---- our own namespace */

static uint64_t hash_entry(const struct mountinfo_entry *entry)
{
	uint64_t hash = HASH_BEGIN;

	hash = hash_add(hash, &entry->major, sizeof(entry->major));
	hash = hash_add(hash, &entry->minor, sizeof(entry->minor));
	return hash_add(hash, entry->point, strlen(entry->point));
}

static const struct mounts_known *find_known(const struct mounts *mounts, uint64_t id)
{
	for (uint32_t i = 0; i < mounts->n_known; i++) {
		if (mounts->known[i].id == id)
			return &mounts->known[i];
	}
	return NULL;
}

struct mounts_spot mounts_find(const struct mounts *mounts, uint64_t id)
{
	const struct mounts_known *known = find_known(mounts, id);

	return known ? known->spot : (struct mounts_spot){.place = MOUNT_UNKNOWN};
}

static struct mounts_spot spot_of(const struct mounts *mounts, const struct mountinfo_entry *entry)
{
	return (struct mounts_spot){
		.place = mounts_place(mounts, entry),
		.point_length = (uint32_t)strlen(entry->point),
	};
}

static int find_root(struct mounts *mounts, const struct mountinfo *info)
{
	const struct mountinfo_entry *entry = mountinfo_find(info, "/");

	if (!entry)
		return -ENOENT;
	mounts->is_root_ours = mounts_is_ours(mounts, entry);
	mounts->root.major = entry->major;
	mounts->root.minor = entry->minor;
	return str_copy(mounts->root.path, sizeof(mounts->root.path), entry->root) ? 0
										   : -ENAMETOOLONG;
}

/* A path that is looked up again and again would meet, one day, the server of a network file system that
 * does not answer: so each mount is marked once. */
static int learn(struct mounts *mounts, int group, const struct mountinfo_entry *entry,
		 struct mounts_known *ret_known)
{
	uint64_t hash = hash_entry(entry);
	const struct mounts_known *old = find_known(mounts, entry->id);
	int r = 0;

	if (!old || old->hash != hash) {
		r = mark(mounts, group, entry, AT_FDCWD, entry->point);
		if (r < 0)
			say_unmarked(entry, r);
	}
	*ret_known = (struct mounts_known){
		.id = entry->id,
		.hash = hash,
		.spot = spot_of(mounts, entry),
	};
	return str_equal(entry->point, "/") ? r : 0;
}

int mounts_refresh(struct mounts *mounts, int group)
{
	static struct mounts_known next[MOUNTS_MAX];
	CLEANUP(mountinfo_finish) struct mountinfo info = {0};
	uint32_t n = 0;
	int r = mountinfo_read(&info);

	if (r == 0)
		r = find_root(mounts, &info);
	if (r < 0)
		return r;
	for (size_t i = 0; i < info.count && n < MOUNTS_MAX; i++) {
		int failed = learn(mounts, group, &info.entries[i], &next[n++]);
		r = failed < 0 ? failed : r;
	}
	memcpy(mounts->known, next, n * sizeof(*next));
	mounts->n_known = n;
	return r;
}

/* ---- a service's namespace */

/* Its own mounts have not been seen when they were made. Those that share a file system which is marked
 * as one are covered already; marking once more changes nothing. */
static void mark_there(const struct mounts *mounts, int group, const struct mountinfo_entry *entry,
		       int proc_fd, int32_t pid)
{
	char path[4200];

	if (mountinfo_has_option(entry, "noexec"))
		return;
	int length = snprintf(path, sizeof(path), "%d/root%s", pid, entry->point);
	if (length > 0 && (size_t)length < sizeof(path))
		(void)mark(mounts, group, entry, proc_fd, path);
}

struct mounts_spot mounts_visit(const struct mounts *mounts, int proc_fd, int32_t pid, uint64_t id,
				int group)
{
	CLEANUP(mountinfo_finish) struct mountinfo info = {0};
	struct mounts_spot spot = {.place = MOUNT_UNKNOWN};
	char path[32];

	(void)snprintf(path, sizeof(path), "%d/mountinfo", pid);
	if (mountinfo_read_at(proc_fd, path, &info) < 0)
		return spot;
	for (size_t i = 0; i < info.count; i++) {
		const struct mountinfo_entry *entry = &info.entries[i];
		if (entry->id == id)
			spot = spot_of(mounts, entry);
		if (group >= 0)
			mark_there(mounts, group, entry, proc_fd, pid);
	}
	return spot;
}
