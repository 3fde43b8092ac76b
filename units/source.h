#pragma once
/*
 * Reading below a root, and never outside of it: a symbolic link in an image's tree that points to
 * /etc/shadow means the image's. openat2(2) with RESOLVE_IN_ROOT where the kernel has it, else a
 * walk of our own (lib/walk.h). Nothing but regular files is ever read, so that a fifo in a tree
 * cannot hold us, and no path can name a process's fds (RESOLVE_NO_MAGICLINKS).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "units/arena.h"

#define SOURCE_FILE_MAX	   (1U << 20)
#define SOURCE_ENTRIES_MAX 4096 /* of one directory */

/* The last answer: units of one program follow each other, and a load sees a tree that stands still. */
struct source_memo {
	const char *path; /* NULL: none yet */
	int result;
	char *found;
};

struct source {
	int root_fd; /* borrowed; -EBADF: a source with no files at all */
	struct arena *arena;
	bool has_no_openat2;
	size_t bytes_left; /* of everything that may be read */
	struct source_memo executable, resolved;
	/* What is read goes through here, so that no fd is open while the arena is asked. */
	char *buffer;
};

/* 0 or -ENOMEM. */
int source_init(struct source *source, int root_fd, struct arena *arena);
void source_finish(struct source *source);

/* An fd of path below the root, O_PATH | O_CLOEXEC with what flags add (O_NOFOLLOW, O_DIRECTORY),
 * or with O_RDONLY an open file. -errno. */
int source_open(struct source *source, const char *path, int flags);

/*
 * The whole file, NUL behind it, of at most max bytes (SOURCE_FILE_MAX is the most). 0, or -errno: -EFBIG when it is longer,
 * -ENOTTY when it is no regular file.
 */
int source_read(struct source *source, const char *path, size_t max, char **ret_text,
		size_t *ret_size);

/* At most size bytes of the regular file at path, from offset on, into buffer: how many. -errno as
 * above. */
ssize_t source_peek(struct source *source, const char *path, uint64_t offset, void *buffer,
		    size_t size);

/* Why a file could not be read, in words. */
const char *source_strerror(int error);
/* And the exit status for it: 66 where there is none, 77 where it may not be read, 78 where it is
 * not what it has to be. */
int source_status(int error);

/* The names in a directory, sorted by strcmp(3), without those that begin with a dot; in ret_links
 * (or NULL) those among them that are symbolic links, or may be. 0 or -errno. */
int source_list(struct source *source, const char *path, struct strings *ret_names,
		struct strings *ret_links);

/* What a symbolic link says, or -EINVAL when path is none, or -errno. */
int source_link(struct source *source, const char *path, char **ret_target);

/* The type and permissions behind path (st_mode), or -errno. */
int source_mode(struct source *source, const char *path, mode_t *ret_mode);

/* Whether path exists and is a file that somebody may execute. 0 or -errno (-EACCES). */
int source_executable(struct source *source, const char *path);

/* The absolute path below the root that path leads to in the end, every link followed. 0 or
 * -errno. */
int source_resolve(struct source *source, const char *path, char **ret_path);
