#pragma once
/*
 * A path below a root, walked one component at a time by O_PATH fds: what openat2(2) does with
 * RESOLVE_IN_ROOT, for kernels without it and for whoever has to look at each step of the way. A
 * link's target is put before what is still to go, and counts from the root when it is absolute; ".."
 * walks the way above once more from the root, so that nothing leads out of it. Never is anything
 * looked up twice by a name but there and in walk_open, which compares.
 *
 * As the kernel has it (path_resolution(7)): 40 links at most; what has something behind it, be it a
 * slash, has to be a directory. A link of /proc that names no path (magic) is what its text says.
 */
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#define WALK_LINKS_MAX 40

/* Called for the root (whose path is "") and whatever is stepped on behind it, links included, with
 * its fd (O_PATH, borrowed). 0, or what ends the walk: a negative errno. */
typedef int (*walk_check)(void *context, int fd, const struct stat *st, const char *path);

struct walk {
	int root_fd;	  /* borrowed; negative: / */
	walk_check check; /* NULL: none */
	void *context;
	bool keep_last_link; /* a link at the end is what is found */
	/* What was found, its folder (-EBADF of the root) and its path without links: "" is the root. */
	int fd, parent_fd;
	char path[PATH_MAX];
	/* The walk's own. */
	char rest[PATH_MAX];
	unsigned n_links;
};

/* Those three that are the caller's, and fds that walk_finish closes. */
void walk_init(struct walk *walk, int root_fd, walk_check check, void *context);
void walk_finish(struct walk *walk);

/* 0, or -errno as open(2) has it, or what check gave. Empty is the root. Once for each walk. */
int walk_to(struct walk *walk, const char *path);

/*
 * Opens the regular file that was found, by its name once more, since /proc may be missing: an fd
 * (O_RDONLY | O_CLOEXEC), -ENOTTY where it is no regular file, -ESTALE where it is another by now, or
 * -errno.
 */
int walk_open(const struct walk *walk);
