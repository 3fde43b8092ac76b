#include "units/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define SOURCE_BYTES_MAX (64U << 20)

int source_init(struct source *source, int root_fd, struct arena *arena)
{
	*source = (struct source){
		.root_fd = root_fd,
		.arena = arena,
		.bytes_left = SOURCE_BYTES_MAX,
		.buffer = malloc(SOURCE_FILE_MAX + 1),
	};
	return source->buffer ? 0 : -ENOMEM;
}

void source_finish(struct source *source)
{
	free(source->buffer);
}

/*
 * The walk: components still to go stand in rest; a link's target is put before them. The path that
 * was walked so far is kept as text, which is what .. shortens and what source_resolve wants; each
 * step opens from the fd of the last one, so that nothing is ever looked up twice by name but at
 * "..", which starts again from the root.
 */
struct walk {
	const struct source *source;
	char path[PATH_MAX], rest[PATH_MAX];
	int fd;
	unsigned n_links;
};

static int walk_restart(struct walk *walk)
{
	fd_close(walk->fd);
	walk->fd = fcntl(walk->source->root_fd, F_DUPFD_CLOEXEC, 3);
	return walk->fd < 0 ? -errno : 0;
}

/* Cuts the last component off what was walked, and walks there again. */
static int walk_up(struct walk *walk)
{
	char *slash = strrchr(walk->path, '/');

	if (slash)
		*slash = '\0';
	int r = walk_restart(walk);
	if (r < 0 || !walk->path[0])
		return r;
	/* All of it was walked before: no component is a link, unless somebody changes the tree
	 * under us, which O_NOFOLLOW then refuses. */
	char copy[PATH_MAX], *save = NULL;
	(void)str_copy(copy, sizeof(copy), walk->path);
	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		fd_close(walk->fd);
		walk->fd = fd;
	}
	return 0;
}

static int prepend(struct walk *walk, const char *target)
{
	char joined[PATH_MAX];
	struct strbuf buf;

	strbuf_init(&buf, joined, sizeof(joined));
	strbuf_addf(&buf, "%s/%s", target, walk->rest);
	if (buf.is_cut)
		return -ENAMETOOLONG;
	memcpy(walk->rest, joined, buf.length + 1);
	if (*target != '/')
		return 0;
	walk->path[0] = '\0';
	return walk_restart(walk);
}

static int follow(struct walk *walk, int link_fd)
{
	char target[PATH_MAX];

	if (++walk->n_links > SOURCE_LINKS_MAX)
		return -ELOOP;
	ssize_t n = readlinkat(link_fd, "", target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	return prepend(walk, target);
}

static int walk_step(struct walk *walk, const char *name, bool may_be_link)
{
	struct strbuf buf;
	struct stat st;

	CLEANUP(fd_closep) int fd = openat(walk->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode) && !may_be_link)
		return follow(walk, fd);
	strbuf_init(&buf, walk->path + strlen(walk->path), sizeof(walk->path) - strlen(walk->path));
	strbuf_addf(&buf, "/%s", name);
	if (buf.is_cut)
		return -ENAMETOOLONG;
	fd_close(walk->fd);
	walk->fd = fd_steal(&fd);
	return 0;
}

/* The first component of rest goes to name. False at the end. */
static bool next_component(struct walk *walk, char name[NAME_MAX + 1], bool *ret_is_last)
{
	char *at = walk->rest + strspn(walk->rest, "/");
	size_t length = strcspn(at, "/");

	if (length == 0)
		return false;
	/* Longer ones exist nowhere: cut, they are not found either. */
	size_t kept = MIN(length, (size_t)NAME_MAX);
	memcpy(name, at, kept);
	name[kept] = '\0';
	*ret_is_last = at[length + strspn(at + length, "/")] == '\0';
	memmove(walk->rest, at + length, strlen(at + length) + 1);
	return true;
}

/* An O_PATH fd in walk->fd, its path in walk->path. */
static int walk_path(struct walk *walk, const char *path, bool keep_last_link)
{
	char name[NAME_MAX + 1];
	bool is_last;

	if (!str_copy(walk->rest, sizeof(walk->rest), path))
		return -ENAMETOOLONG;
	int r = walk_restart(walk);
	while (r == 0 && next_component(walk, name, &is_last)) {
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0)
			r = walk_up(walk);
		else
			r = walk_step(walk, name, is_last && keep_last_link);
	}
	return r;
}

static int open_by_walk(struct source *source, const char *path, int flags)
{
	struct walk walk = {.source = source, .fd = -EBADF};
	struct stat st;

	int r = walk_path(&walk, path, flags & O_NOFOLLOW);
	CLEANUP(fd_closep) int fd = walk.fd;
	if (r < 0)
		return r;
	if (flags & O_DIRECTORY && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return fd_steal(&fd);
}

static long open_in_root(const struct source *source, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (unsigned)(O_CLOEXEC | flags),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
	};

	return syscall(SYS_openat2, source->root_fd, path, &how, sizeof(how));
}

static int open_path(struct source *source, const char *path, int flags)
{

	if (source->root_fd < 0)
		return -ENOENT;
	if (!source->has_no_openat2) {
		long fd = open_in_root(source, path, O_PATH | flags, 0);
		if (fd >= 0)
			return (int)fd;
		if (errno != ENOSYS && errno != EPERM && errno != EAGAIN)
			return -errno;
		source->has_no_openat2 = errno != EAGAIN;
	}
	return open_by_walk(source, path, flags);
}

/* The regular file that was seen there, by its name once more: half the price of /proc/self/fd. -1
 * when it cannot be had so. */
static int open_again(const struct source *source, const char *path, const struct stat *seen)
{
	struct stat st;

	if (source->has_no_openat2)
		return -1;
	CLEANUP(fd_closep)
	int fd = (int)open_in_root(source, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != seen->st_ino || st.st_dev != seen->st_dev)
		return -1;
	return fd_steal(&fd);
}

int source_open(struct source *source, const char *path, int flags)
{
	bool is_read = !(flags & O_PATH);
	struct stat st;

	flags &= ~O_PATH;
	CLEANUP(fd_closep) int fd = open_path(source, *path ? path : "/", flags);
	if (fd < 0 || !is_read)
		return fd_steal(&fd);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode)) {
		int r = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return r < 0 ? -errno : r;
	}
	if (!S_ISREG(st.st_mode))
		return -ENOTTY;
	int r = open_again(source, path, &st);
	if (r >= 0)
		return r;
	r = fd_reopen(fd, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (r != -ENOENT)
		return r;
	/* No /proc, so by name again: as safe as the tree is still. */
	struct walk walk = {.source = source, .fd = -EBADF};
	r = walk_path(&walk, path, false);
	(void)fd_close(walk.fd);
	if (r < 0)
		return r;
	int file = openat(source->root_fd, walk.path + 1, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return file < 0 ? -errno : file;
}

int source_read(struct source *source, const char *path, size_t max, char **ret_text,
		size_t *ret_size)
{
	int fd = source_open(source, path, O_RDONLY);
	if (fd < 0)
		return fd;
	ssize_t n = io_read_full(fd, source->buffer, max + 1);
	fd_close(fd);
	if (n < 0)
		return (int)n;
	if ((size_t)n > max || (size_t)n > source->bytes_left)
		return -EFBIG;
	source->bytes_left -= (size_t)n;
	*ret_text = arena_copy(source->arena, source->buffer, (size_t)n);
	*ret_size = (size_t)n;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

#define MARK_LINK  'l'
#define MARK_OTHER '-'

/* A mark and the name with its NUL for each, into the source's buffer. */
static int read_names(struct source *source, int fd, size_t *ret_size)
{
	size_t size = 0;
	int r = 0;

	DIR *dir = fdopendir(fd);
	if (!dir) {
		r = -errno;
		fd_close(fd);
		return r;
	}
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		size_t length = strlen(entry->d_name) + 1;
		bool may_be_link = entry->d_type == DT_LNK || entry->d_type == DT_UNKNOWN;
		if (entry->d_name[0] == '.')
			continue;
		if (length >= SOURCE_FILE_MAX - size) {
			r = -E2BIG;
			break;
		}
		source->buffer[size++] = may_be_link ? MARK_LINK : MARK_OTHER;
		memcpy(source->buffer + size, entry->d_name, length);
		size += length;
	}
	(void)closedir(dir);
	*ret_size = size;
	return r;
}

static void sort_names(struct strings *names)
{
	if (names->count > 0)
		qsort(names->items, names->count, sizeof(*names->items), compare_names);
}

int source_list(struct source *source, const char *path, struct strings *ret_names,
		struct strings *ret_links)
{
	struct strings names = {0}, links = {0};
	size_t size = 0;

	int fd = source_open(source, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	int r = read_names(source, fd, &size);
	if (r < 0)
		return r;
	for (size_t at = 0; at < size; at += strlen(source->buffer + at) + 1) {
		if (names.count == SOURCE_ENTRIES_MAX)
			return -E2BIG;
		const char *name = arena_string(source->arena, source->buffer + at + 1);
		strings_add(source->arena, &names, name);
		if (ret_links && source->buffer[at] == MARK_LINK)
			strings_add(source->arena, &links, name);
	}
	sort_names(&names);
	sort_names(&links);
	*ret_names = names;
	if (ret_links)
		*ret_links = links;
	return 0;
}

int source_link(struct source *source, const char *path, char **ret_target)
{
	int fd = source_open(source, path, O_PATH | O_NOFOLLOW);
	if (fd < 0)
		return fd;
	ssize_t n = readlinkat(fd, "", source->buffer, PATH_MAX);
	int error = errno;
	fd_close(fd);
	/* readlinkat of an O_PATH fd that is no link is ENOENT (readlink(2)). */
	if (n < 0)
		return error == ENOENT ? -EINVAL : -error;
	*ret_target = arena_copy(source->arena, source->buffer, (size_t)n);
	return 0;
}

int source_mode(struct source *source, const char *path, mode_t *ret_mode)
{
	struct stat st;

	CLEANUP(fd_closep) int fd = source_open(source, path, O_PATH);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_mode = st.st_mode;
	return 0;
}

int source_executable(struct source *source, const char *path)
{
	struct source_memo *memo = &source->executable;
	mode_t mode = 0;

	if (memo->path && strcmp(memo->path, path) == 0)
		return memo->result;
	int r = source_mode(source, path, &mode);
	if (r == 0 && (!S_ISREG(mode) || !(mode & 0111)))
		r = -EACCES;
	*memo = (struct source_memo){.path = arena_string(source->arena, path), .result = r};
	return r;
}

static bool is_normal(const char *path)
{
	size_t length = strlen(path);

	return *path == '/' && length > 1 && path[length - 1] != '/' && !strstr(path, "//") &&
	       !strstr(path, "/.");
}

/* Nothing on the way is a link. False when it may be. */
static bool is_plain_path(struct source *source, const char *path)
{
	if (source->has_no_openat2 || !is_normal(path))
		return false;
	long fd = open_in_root(source, path, O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return false;
	struct stat st;
	bool is_link = fstat((int)fd, &st) < 0 || S_ISLNK(st.st_mode);
	(void)fd_close((int)fd);
	return !is_link;
}

static int resolve(struct source *source, const char *path, char **ret_path)
{
	struct walk walk = {.source = source, .fd = -EBADF};

	if (source->root_fd < 0)
		return -ENOENT;
	if (is_plain_path(source, path)) {
		*ret_path = arena_string(source->arena, path);
		return 0;
	}
	int r = walk_path(&walk, path, false);
	fd_close(walk.fd);
	if (r < 0)
		return r;
	*ret_path = arena_string(source->arena, walk.path);
	return 0;
}

int source_resolve(struct source *source, const char *path, char **ret_path)
{
	struct source_memo *memo = &source->resolved;

	if (!memo->path || strcmp(memo->path, path) != 0) {
		char *found = NULL;
		int r = resolve(source, path, &found);
		*memo = (struct source_memo){arena_string(source->arena, path), r, found};
	}
	if (memo->result == 0)
		*ret_path = memo->found;
	return memo->result;
}

const char *source_strerror(int error)
{
	return error == ENOTTY ? "it is no regular file" : strerror(error);
}

int source_status(int error)
{
	if (error == ENOENT || error == ENOTDIR)
		return EX_NOINPUT;
	return error == EACCES || error == EPERM ? EX_NOPERM : EX_CONFIG;
}
