#include "lib/trust.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/str.h"
#include "lib/walk.h"

/* Of one path: what its check keeps between the steps. */
struct way {
	bool is_writable;
	bool is_shared; /* the directory that we are in is sticky: others may put names there */
	struct strbuf why;
};

static int refuse(struct way *way, const char *path, const char *what)
{
	strbuf_addf(&way->why, "%s %s", path[0] ? path : "/", what);
	return -EPERM;
}

static int check(void *context, int fd, const struct stat *st, const char *path)
{
	struct way *way = context;
	bool is_link = S_ISLNK(st->st_mode);
	bool is_open = (st->st_mode & (S_IWGRP | S_IWOTH)) && !is_link;
	bool was_shared = way->is_shared;
	struct statvfs fs;

	/* What a link in a directory leads to is in that directory still. */
	way->is_shared = is_link && was_shared;
	if (fstatvfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_flag & ST_RDONLY)
		return 0;
	way->is_writable = true;
	if (st->st_uid != 0)
		return refuse(way, path, "belongs to somebody else than root");
	if (is_link)
		return 0;
	way->is_shared = is_open && S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX);
	if (is_open && !way->is_shared)
		return refuse(way, path, "may be written by others than root");
	/* What is root's may be so under another name, too, where protected_hardlinks is off. */
	if (was_shared && S_ISREG(st->st_mode) && st->st_nlink > 1)
		return refuse(way, path, "has a second name, which somebody else may have made");
	return 0;
}

int trust_open(int root_fd, const char *path, bool *ret_is_writable, char *why, size_t size)
{
	struct way way = {0};
	struct walk walk;

	strbuf_init(&way.why, why, size);
	walk_init(&walk, root_fd, geteuid() == 0 ? check : NULL, &way);
	int r = walk_to(&walk, path);
	if (r == 0)
		r = walk_open(&walk);
	walk_finish(&walk);
	if (r >= 0)
		*ret_is_writable = way.is_writable;
	return r;
}
