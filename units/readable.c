#include "units/readable.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "units/listing.h"

#define ENTRIES_MAX 40000
#define DEPTH_MAX   24
#define PATH_SIZE   4096

static const char *const of_programs[] = {
	"/bin",		"/sbin",	  "/usr/bin",
	"/usr/sbin",	"/usr/local/bin", "/usr/local/sbin",
	"/usr/libexec", "/usr/games",	  "/usr/local/games",
};
/* The devices have rules of their own. Our own programs are static, and do nothing for a service. */
static const char *const without_programs[] = {
	"/proc",
	"/sys",
	"/run",
	"/tmp",
	"/etc",
	"/var",
	"/boot",
	"/lib/modules",
	"/usr/share",
	"/usr/include",
	"/usr/src",
	"/usr/lib/modules",
	"/lib/firmware",
	"/usr/lib/firmware",
	"/usr/lib/locale",
	"/usr/lib/holdfast",
	"/usr/local/lib/holdfast",
};
/* Names that are no program's, whatever their mode: libraries, scripts, data. */
static const char *const other_endings[] = {
	".so", ".js",  ".cjs",	".mjs",	 ".py",	 ".pyc", ".pl",	 ".pm",	 ".rb", ".php", ".json",
	".a",  ".jar", ".node", ".html", ".css", ".h",	 ".map", ".txt", ".md", ".ts",	".mo",
};

struct search {
	struct readable *readable;
	dev_t device;
	int error;
	struct readable_list found; /* programs in what is being searched */
	char path[PATH_SIZE];	    /* what is looked at, the prefix before it */
	size_t prefix;		    /* its length */
};

static int list_add(struct readable_list *list, const char *path)
{
	size_t length = strlen(path) + 1;

	if (list->capacity - list->size < length) {
		size_t capacity = (list->capacity + length) * 2;
		char *data = realloc(list->data, capacity);
		if (!data)
			return -ENOMEM;
		list->data = data;
		list->capacity = capacity;
	}
	memcpy(list->data + list->size, path, length);
	list->size += length;
	list->count++;
	return 0;
}

const char *readable_next(const struct readable_list *list, const char *previous)
{
	const char *next = previous ? previous + strlen(previous) + 1 : list->data;

	return list->size > 0 && next < list->data + list->size ? next : NULL;
}

static void keep(struct search *search, struct readable_list *list)
{
	int r = list_add(list, search->path);

	if (r < 0)
		search->error = r;
}

static bool is_called_otherwise(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(other_endings); i++) {
		if (str_ends(name, other_endings[i]))
			return true;
	}
	return strstr(name, ".so.") != NULL;
}

static bool is_program(int dir_fd, const char *name)
{
	char magic[SELFMAG];
	struct stat st;

	if (is_called_otherwise(name) || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return false;
	CLEANUP(fd_closep)
	int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd >= 0 && read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
	       memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static bool has_programs(struct search *search, int fd, unsigned depth);

/* What is at search->path may be read as a whole. */
static bool is_clean_directory(struct search *search, int dir_fd, const char *name, unsigned depth)
{
	const char *inside = search->path + search->prefix;
	struct stat st;

	if (str_is_one_of(inside, without_programs, ARRAY_COUNT(without_programs)))
		return true;
	if (str_is_one_of(inside, of_programs, ARRAY_COUNT(of_programs)))
		return false;
	if (search->readable->is_cut || depth > DEPTH_MAX)
		return true;
	CLEANUP(fd_closep)
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return true;
	bool is_elsewhere = st.st_dev != search->device && strcmp(inside, "/usr") != 0;
	return is_elsewhere || !has_programs(search, fd, depth);
}

static bool is_clean(struct search *search, int dir_fd, const char *name, enum listing_kind kind,
		     unsigned depth)
{
	if (kind == LISTING_DIRECTORY)
		return is_clean_directory(search, dir_fd, name, depth);
	if (kind != LISTING_FILE || !is_program(dir_fd, name))
		return true;
	keep(search, &search->found);
	return false;
}

/* From mark on; the list is as long as it was then. */
static void move_programs(struct search *search, struct readable_list mark, bool is_kept)
{
	struct readable_list *found = &search->found;

	for (size_t at = mark.size; is_kept && at < found->size;
	     at += strlen(found->data + at) + 1) {
		int r = list_add(&search->readable->programs, found->data + at);
		if (r < 0)
			search->error = r;
	}
	found->size = mark.size;
	found->count = mark.count;
}

static void visit(struct search *search, int fd, const struct listing *listing, unsigned depth,
		  bool *is_whole)
{
	size_t length = strlen(search->path), at = 0;
	size_t room = sizeof(search->path) - length;
	enum listing_kind kind;
	const char *name;

	while (search->error == 0 && (name = listing_next(listing, &at, &kind))) {
		if (++search->readable->n_entries > ENTRIES_MAX)
			search->readable->is_cut = true;
		if (kind == LISTING_OTHER ||
		    (size_t)snprintf(search->path + length, room, "/%s", name) >= room)
			continue;
		bool is_devices = strcmp(search->path + search->prefix, "/dev") == 0;
		if (!is_devices && is_clean(search, fd, name, kind, depth + 1))
			keep(search, &search->readable->pieces);
		else
			*is_whole = false;
	}
	search->path[length] = '\0';
}

/* What a folder comes apart into stands behind the marks, and is forgotten when it stays whole. */
static bool comes_apart(struct search *search, int fd, const struct listing *listing,
			unsigned depth)
{
	struct readable_list *pieces = &search->readable->pieces;
	const struct readable_list mark = *pieces, found = search->found;
	bool is_whole = true;

	visit(search, fd, listing, depth, &is_whole);
	bool is_too_much = depth > 0 && pieces->count - mark.count > READABLE_PIECES_MAX;
	move_programs(search, found, is_too_much);
	if (!is_whole && !is_too_much)
		return true;
	pieces->size = mark.size;
	pieces->count = mark.count;
	return false;
}

static bool has_programs(struct search *search, int fd, unsigned depth)
{
	struct listing listing;
	bool result = false;

	if (listing_read(&listing, fd) == 0)
		result = comes_apart(search, fd, &listing, depth);
	listing_finish(&listing);
	return result;
}

int readable_find(struct readable *readable, int root_fd, const char *prefix)
{
	struct search search = {.readable = readable, .prefix = strlen(prefix)};
	struct stat st;

	*readable = (struct readable){0};
	if (!str_copy(search.path, sizeof(search.path), prefix))
		return -ENAMETOOLONG;
	CLEANUP(fd_closep)
	int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	search.device = st.st_dev;
	if (!has_programs(&search, fd, 0) && search.error == 0)
		search.error = list_add(&readable->pieces, *prefix ? prefix : "/");
	free(search.found.data);
	return search.error;
}

void readable_finish(struct readable *readable)
{
	free(readable->pieces.data);
	free(readable->programs.data);
	*readable = (struct readable){0};
}
