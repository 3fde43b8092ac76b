/*
 * An empty file system on /var/log hides that the image has /var/log/nginx there, without which
 * nginx does not start; one on /var/lib/redis hides that the folder is redis's. Packages make such
 * folders when they are installed and their programs count on them, so memory that is mounted over
 * them begins with them. Contents are the image's business: what a program needs at its place on a
 * scratch path is copied by no one.
 */
#include "init/boot/skeleton.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

#define FOLDERS_MAX 4096
#define DEPTH_MAX   32

struct copying {
	dev_t device;
	unsigned n_folders, depth;
};

static int copy_folder(struct copying *copying, int from, int to);

static int open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The owner first, as changing it takes set-id bits away. */
static int copy_rights(int to, const struct stat *st)
{
	if ((st->st_uid != geteuid() || st->st_gid != getegid()) &&
	    fchown(to, st->st_uid, st->st_gid) < 0)
		return -errno;
	return fchmod(to, st->st_mode & 07777) < 0 ? -errno : 0;
}

static int copy_entry(struct copying *copying, int from, int to, const char *name)
{
	struct stat st;

	if (str_equal(name, ".") || str_equal(name, "..") ||
	    fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) ||
	    st.st_dev != copying->device)
		return 0;
	if (++copying->n_folders > FOLDERS_MAX || copying->depth == DEPTH_MAX)
		return -E2BIG;
	if (mkdirat(to, name, 0700) < 0)
		return -errno;
	CLEANUP(fd_closep) int below_from = open_folder(from, name);
	CLEANUP(fd_closep) int below_to = open_folder(to, name);
	if (below_from < 0 || below_to < 0)
		return below_from < 0 ? below_from : below_to;
	copying->depth++;
	int r = copy_folder(copying, below_from, below_to);
	copying->depth--;
	return r;
}

static int copy_folder(struct copying *copying, int from, int to)
{
	struct stat st;
	int r = fstat(from, &st) < 0 ? -errno : copy_rights(to, &st);

	if (r < 0)
		return r;
	/* A description of its own, as the caller's position is the caller's. */
	int listed = open_folder(from, ".");
	DIR *dir = listed < 0 ? NULL : fdopendir(listed);
	if (!dir) {
		r = listed < 0 ? listed : -errno;
		(void)fd_close(listed);
		return r;
	}
	for (const struct dirent *e = readdir(dir); e && r == 0; e = readdir(dir))
		r = copy_entry(copying, from, to, e->d_name);
	(void)closedir(dir);
	return r;
}

int skeleton_copy(int from, int to)
{
	struct copying copying = {0};
	struct stat st;

	if (fstat(from, &st) < 0)
		return -errno;
	copying.device = st.st_dev;
	return copy_folder(&copying, from, to);
}
