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
#include "lib/walk.h"

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

static int open_by_walk(struct source *source, const char *path, int flags)
{
	struct walk walk;
	struct stat st;

	walk_init(&walk, source->root_fd, NULL, NULL);
	walk.keep_last_link = flags & O_NOFOLLOW;
	int r = walk_to(&walk, path);
	if (r == 0 && flags & O_DIRECTORY && fstat(walk.fd, &st) == 0 && !S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	int fd = r < 0 ? r : fd_steal(&walk.fd);
	walk_finish(&walk);
	return fd;
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

/* Where there is no /proc. */
static int open_by_name(const struct source *source, const char *path)
{
	struct walk walk;

	walk_init(&walk, source->root_fd, NULL, NULL);
	int r = walk_to(&walk, path);
	if (r == 0)
		r = walk_open(&walk);
	walk_finish(&walk);
	return r;
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
	return r == -ENOENT ? open_by_name(source, path) : r;
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

ssize_t source_peek(struct source *source, const char *path, uint64_t offset, void *buffer,
		    size_t size)
{
	CLEANUP(fd_closep) int fd = source_open(source, path, O_RDONLY);
	if (fd < 0)
		return fd;
	ssize_t n = pread(fd, buffer, size, (off_t)offset);
	return n < 0 ? -errno : n;
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
	struct walk walk;

	if (source->root_fd < 0)
		return -ENOENT;
	if (is_plain_path(source, path)) {
		*ret_path = arena_string(source->arena, path);
		return 0;
	}
	walk_init(&walk, source->root_fd, NULL, NULL);
	int r = walk_to(&walk, path);
	walk_finish(&walk);
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
