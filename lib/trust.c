#include "lib/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

#define LINKS_MAX 40 /* path_resolution(7) */

/* Components still to go stand in rest; a link's target is put before them. */
struct walk {
	int root_fd, fd, parent_fd;
	char rest[PATH_MAX];
	char at[PATH_MAX]; /* what was walked, for the sentence */
	unsigned n_links;
	bool is_checked, is_writable;
	bool is_shared; /* the directory that we are in is sticky: others may put names there */
	struct strbuf why;
};

static int refuse(struct walk *walk, const char *what)
{
	strbuf_addf(&walk->why, "%s %s", walk->at[0] ? walk->at : "/", what);
	return -EPERM;
}

static int check(struct walk *walk, int fd, const struct stat *st)
{
	bool is_open = (st->st_mode & (S_IWGRP | S_IWOTH)) && !S_ISLNK(st->st_mode);
	bool was_shared = walk->is_shared;
	struct statvfs fs;

	walk->is_shared = false;
	if (!walk->is_checked)
		return 0;
	if (fstatvfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_flag & ST_RDONLY)
		return 0;
	walk->is_writable = true;
	if (st->st_uid != 0)
		return refuse(walk, "belongs to somebody else than root");
	walk->is_shared = is_open && S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX);
	if (is_open && !walk->is_shared)
		return refuse(walk, "may be written by others than root");
	/* What is root's may be so under another name, too, where protected_hardlinks is off. */
	if (was_shared && S_ISREG(st->st_mode) && st->st_nlink > 1)
		return refuse(walk, "has a second name, which somebody else may have made");
	return 0;
}

static int restart(struct walk *walk)
{
	struct stat st;

	(void)fd_close(walk->fd);
	walk->at[0] = '\0';
	walk->fd = walk->root_fd < 0 ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)
				     : fcntl(walk->root_fd, F_DUPFD_CLOEXEC, 3);
	if (walk->fd < 0 || fstat(walk->fd, &st) < 0)
		return -errno;
	return check(walk, walk->fd, &st);
}

static int put_before(struct walk *walk, const char *target)
{
	char joined[PATH_MAX];
	struct strbuf buf;

	strbuf_init(&buf, joined, sizeof(joined));
	strbuf_addf(&buf, "%s/%s", target, walk->rest);
	if (buf.is_cut)
		return -ENAMETOOLONG;
	memcpy(walk->rest, joined, buf.length + 1);
	return 0;
}

static int follow(struct walk *walk, int link_fd)
{
	char target[PATH_MAX];

	if (++walk->n_links > LINKS_MAX)
		return -ELOOP;
	ssize_t n = readlinkat(link_fd, "", target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	char *slash = strrchr(walk->at, '/');
	if (slash)
		*slash = '\0';
	int r = put_before(walk, target);
	return r == 0 && target[0] == '/' ? restart(walk) : r;
}

/* The way up is walked again from the root: .. itself would lead out of it. */
static int go_up(struct walk *walk)
{
	char *slash = strrchr(walk->at, '/');
	char above[PATH_MAX];

	if (slash)
		*slash = '\0';
	(void)str_copy(above, sizeof(above), walk->at);
	int r = put_before(walk, above);
	return r < 0 ? r : restart(walk);
}

static int step(struct walk *walk, const char *name)
{
	bool was_shared = walk->is_shared;
	struct strbuf buf;
	struct stat st;

	CLEANUP(fd_closep) int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	size_t length = strlen(walk->at);
	strbuf_init(&buf, walk->at + length, sizeof(walk->at) - length);
	strbuf_addf(&buf, "/%s", name);
	if (buf.is_cut)
		return -ENAMETOOLONG;
	int r = check(walk, fd, &st);
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode)) {
		walk->is_shared = was_shared;
		return follow(walk, fd);
	}
	(void)fd_close(walk->parent_fd);
	walk->parent_fd = walk->fd;
	walk->fd = fd_steal(&fd);
	return 0;
}

static bool next_name(struct walk *walk, char name[NAME_MAX + 1])
{
	char *at = walk->rest + strspn(walk->rest, "/");
	size_t length = strcspn(at, "/");
	/* Longer ones exist nowhere: cut, they are not found either. */
	size_t kept = MIN(length, (size_t)NAME_MAX);

	memcpy(name, at, kept);
	name[kept] = '\0';
	memmove(walk->rest, at + length, strlen(at + length) + 1);
	return length > 0;
}

static int walk_path(struct walk *walk)
{
	char name[NAME_MAX + 1];

	int r = restart(walk);
	while (r == 0 && next_name(walk, name)) {
		if (str_equal(name, ".."))
			r = go_up(walk);
		else if (!str_equal(name, "."))
			r = step(walk, name);
	}
	return r;
}

/* By its name once more, since /proc may be missing, and it has to be what was checked. */
static int open_found(const struct walk *walk)
{
	const char *slash = strrchr(walk->at, '/');
	struct stat seen, st;

	if (fstat(walk->fd, &seen) < 0)
		return -errno;
	if (!S_ISREG(seen.st_mode) || !slash)
		return -ENOTTY;
	CLEANUP(fd_closep)
	int fd = openat(walk->parent_fd, slash + 1,
			O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return st.st_ino == seen.st_ino && st.st_dev == seen.st_dev ? fd_steal(&fd) : -ESTALE;
}

int trust_open(int root_fd, const char *path, bool *ret_is_writable, char *why, size_t size)
{
	struct walk walk = {
		.root_fd = root_fd,
		.fd = -EBADF,
		.parent_fd = -EBADF,
		.is_checked = geteuid() == 0,
	};

	strbuf_init(&walk.why, why, size);
	if (!str_copy(walk.rest, sizeof(walk.rest), path))
		return -ENAMETOOLONG;
	int r = walk_path(&walk);
	if (r == 0)
		r = open_found(&walk);
	(void)fd_close(walk.fd);
	(void)fd_close(walk.parent_fd);
	if (r >= 0)
		*ret_is_writable = walk.is_writable;
	return r;
}
