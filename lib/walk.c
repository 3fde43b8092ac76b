#include "lib/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

void walk_init(struct walk *walk, int root_fd, walk_check check, void *context)
{
	walk->root_fd = root_fd;
	walk->check = check;
	walk->context = context;
	walk->keep_last_link = false;
	walk->fd = walk->parent_fd = -EBADF;
	walk->path[0] = walk->rest[0] = '\0';
	walk->n_links = 0;
}

void walk_finish(struct walk *walk)
{
	walk->fd = fd_close(walk->fd);
	walk->parent_fd = fd_close(walk->parent_fd);
}

static int check(struct walk *walk, int fd, const struct stat *st)
{
	return walk->check ? walk->check(walk->context, fd, st, walk->path) : 0;
}

static int restart(struct walk *walk)
{
	struct stat st;

	walk_finish(walk);
	walk->path[0] = '\0';
	walk->fd = walk->root_fd < 0 ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)
				     : fcntl(walk->root_fd, F_DUPFD_CLOEXEC, 3);
	if (walk->fd < 0 || fstat(walk->fd, &st) < 0)
		return -errno;
	return check(walk, walk->fd, &st);
}

/* What is still to go is empty or begins with a slash. */
static int put_before(struct walk *walk, const char *text)
{
	size_t length = strlen(text), rest = strlen(walk->rest);

	if (length + rest >= sizeof(walk->rest))
		return -ENAMETOOLONG;
	memmove(walk->rest + length, walk->rest, rest + 1);
	memcpy(walk->rest, text, length);
	return 0;
}

static void cut_last(struct walk *walk)
{
	char *slash = strrchr(walk->path, '/');

	if (slash)
		*slash = '\0';
}

static int follow(struct walk *walk, int link_fd)
{
	char target[PATH_MAX];

	if (++walk->n_links > WALK_LINKS_MAX)
		return -ELOOP;
	ssize_t n = readlinkat(link_fd, "", target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	cut_last(walk);
	int r = put_before(walk, target);
	return r == 0 && target[0] == '/' ? restart(walk) : r;
}

/* .. itself would lead out of the root. */
static int go_up(struct walk *walk)
{
	char above[PATH_MAX];

	cut_last(walk);
	(void)str_copy(above, sizeof(above), walk->path);
	int r = put_before(walk, above);
	return r < 0 ? r : restart(walk);
}

static int step(struct walk *walk, const char *name)
{
	size_t length = strlen(walk->path);
	struct strbuf buf;
	struct stat st;

	CLEANUP(fd_closep) int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	strbuf_init(&buf, walk->path + length, sizeof(walk->path) - length);
	strbuf_addf(&buf, "/%s", name);
	if (buf.is_cut)
		return -ENAMETOOLONG;
	int r = check(walk, fd, &st);
	if (r < 0)
		return r;
	/* With a slash behind it, it is the way to something. */
	if (S_ISLNK(st.st_mode) && (walk->rest[0] != '\0' || !walk->keep_last_link))
		return follow(walk, fd);
	(void)fd_close(walk->parent_fd);
	walk->parent_fd = walk->fd;
	walk->fd = fd_steal(&fd);
	return 0;
}

/* What stands before the next slash goes to name. 1, 0 at the end, or -ENAMETOOLONG. */
static int next_name(struct walk *walk, char name[NAME_MAX + 1])
{
	char *at = walk->rest + strspn(walk->rest, "/");
	size_t length = strcspn(at, "/");

	if (length > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, at, length);
	name[length] = '\0';
	memmove(walk->rest, at + length, strlen(at + length) + 1);
	return length > 0;
}

static int need_directory(const struct walk *walk)
{
	struct stat st;

	if (fstat(walk->fd, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int go(struct walk *walk)
{
	char name[NAME_MAX + 1];

	for (;;) {
		int r = walk->rest[0] == '/' ? need_directory(walk) : 0;
		if (r == 0)
			r = next_name(walk, name);
		if (r <= 0)
			return r;
		if (str_equal(name, ".."))
			r = go_up(walk);
		else if (!str_equal(name, "."))
			r = step(walk, name);
		if (r < 0)
			return r;
	}
}

int walk_to(struct walk *walk, const char *path)
{
	if (!str_copy(walk->rest, sizeof(walk->rest), path))
		return -ENAMETOOLONG;
	int r = restart(walk);
	return r < 0 ? r : go(walk);
}

int walk_open(const struct walk *walk)
{
	const char *slash = strrchr(walk->path, '/');
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
