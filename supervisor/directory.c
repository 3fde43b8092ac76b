#include "supervisor/child.h"

/*
 * RuntimeDirectory= and its like. The last component is the unit's; those above it are root's, so
 * that no service can put a symbolic link where we create, own or remove.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

#define REMOVE_MAX 200000 /* entries: somebody who goes on creating must not keep us for ever */

/* ---- Removing a tree with a stack that does not grow: whatever lies deeper than one level is
 * renamed up to the first, so that there are never more than two open directories, and no "..". */

struct remover {
	int top;
	dev_t device;
	unsigned n_done, n_moved;
};

static int remove_entry(struct remover *remover, int dirfd, const char *name);

/* Calls remove_entry for each entry of dirfd until a pass finds none. 0 or -errno. */
static int remove_content(struct remover *remover, int dirfd)
{
	char buffer[2048] __attribute__((aligned(8)));
	bool is_empty;

	do {
		is_empty = true;
		if (lseek(dirfd, 0, SEEK_SET) < 0)
			return -errno;
		long n;
		while ((n = syscall(SYS_getdents64, dirfd, buffer, sizeof(buffer))) > 0) {
			long step;
			for (long at = 0; at < n; at += step) {
				struct dirent *e = (struct dirent *)(void *)(buffer + at);
				step = e->d_reclen;
				if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
					continue;
				int r = remove_entry(remover, dirfd, e->d_name);
				if (r < 0)
					return r;
				is_empty = false;
			}
		}
		if (n < 0)
			return -errno;
	} while (!is_empty);
	return 0;
}

static int move_up(struct remover *remover, int dirfd, const char *name)
{
	char fresh[40];

	(void)snprintf(fresh, sizeof(fresh), ".holdfast-remove-%u", remover->n_moved++);
	return renameat(dirfd, name, remover->top, fresh) < 0 ? -errno : 0;
}

static int remove_entry(struct remover *remover, int dirfd, const char *name)
{
	struct stat st;

	if (remover->n_done++ > REMOVE_MAX)
		return -EBUSY;
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	if (dirfd != remover->top)
		return move_up(remover, dirfd, name);
	CLEANUP(fd_closep)
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != remover->device)
		return -EXDEV;
	int r = remove_content(remover, fd);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int directory_remove(int dirfd, const char *path, bool keeps_itself)
{
	struct remover remover = {0};
	struct stat st;

	CLEANUP(fd_closep)
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	remover.top = fd;
	remover.device = st.st_dev;
	int r = remove_content(&remover, fd);
	if (r < 0 || keeps_itself)
		return r;
	return unlinkat(dirfd, path, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* ---- Making one. */

static int make_path(const char *path, mode_t mode)
{
	char above[CHILD_PATH_MAX];
	size_t length = strlen(path);

	if (mkdir(path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	if (length >= sizeof(above))
		return -ENAMETOOLONG;
	memcpy(above, path, length + 1);
	for (char *slash = strchr(above + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(above, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

/* Owner and mode as asked. What the runtime mounted for the very user that we are is good as it is. */
static int own(const struct child *child, int fd, uint32_t mode, bool is_units)
{
	bool is_owned = is_units && child->unit->uid != PLAN_NO_ID;
	uint32_t uid = child->unit->uid, gid = child->unit->gid;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	bool is_other = is_owned && (st.st_uid != uid || (gid != PLAN_NO_ID && st.st_gid != gid));
	/* PLAN_NO_ID is chown(2)'s -1: leave it. */
	if (is_other && fchown(fd, uid, gid) < 0)
		return errno == EPERM && uid == child->spawner->uid &&
				       faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0
			       ? 0
			       : -errno;
	if ((st.st_mode & 07777) == mode || fchmod(fd, mode) == 0)
		return 0;
	return errno == EPERM && st.st_uid != child->spawner->uid ? 0 : -errno;
}

static int prepare_one(struct child *child, const struct plan_directory *directory)
{
	const char *path = plan_string(child->spawner->plan, directory->path);

	child->detail = path;
	int r = make_path(path, (mode_t)directory->mode);
	if (r < 0)
		return r;
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (directory->type == DIRECTORY_RUNTIME && !directory->keep && child->request->is_first) {
		r = directory_remove(AT_FDCWD, path, true);
		if (r < 0)
			return r;
	}
	return own(child, fd, directory->mode, directory->type != DIRECTORY_CONFIGURATION);
}

int directory_prepare(struct child *child)
{
	static const int statuses[DIRECTORY_TYPE_COUNT] = {
		[DIRECTORY_RUNTIME] = 233, [DIRECTORY_STATE] = 238,	    [DIRECTORY_CACHE] = 239,
		[DIRECTORY_LOGS] = 240,	   [DIRECTORY_CONFIGURATION] = 241,
	};
	struct plan_range range = child->unit->directories;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_directory *directory =
			plan_directory(child->spawner->plan, range.first + i);
		child->status = statuses[directory->type];
		int r = prepare_one(child, directory);
		if (r < 0)
			return r;
	}
	return 0;
}
