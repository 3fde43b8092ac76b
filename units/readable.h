#pragma once
/*
 * What of an image a service may read that must not get at a shell: everything but programs. Not to
 * execute them is not enough, as the loader, which every dynamic program has to be able to start,
 * runs whatever it can read (ld.so /bin/sh).
 *
 * A program is an ELF file that somebody may execute and that is not called a library (*.so*).
 * Scripts are left readable: node and PHP read what lies in folders called bin, and a script does
 * nothing without its interpreter. Folders that hold nothing but programs of the system (/usr/bin …)
 * are left out without a look, others are searched; where a program lies, everything beside it is
 * named piece by piece, since a right to a folder is one to all that is in it.
 *
 * Nothing is searched that holds no programs by its nature (/etc, /usr/share, …), nor another file
 * system: those are readable as a whole. So is a folder that would come apart into too many pieces;
 * the programs in it are told, so that whoever makes the image can put them elsewhere.
 */
#include <stdbool.h>
#include <stddef.h>

#define READABLE_PIECES_MAX 192 /* that one folder may come apart into */

struct readable_list {
	char *data; /* paths, each with its NUL */
	size_t size, capacity, count;
};

struct readable {
	struct readable_list pieces;   /* may be read, each with all below it */
	struct readable_list programs; /* that can be read, though they should not */
	size_t n_entries;	       /* that were looked at */
	bool is_cut;		       /* there were too many: the rest was taken as it is */
};

/*
 * Searches what lies at and below root_fd, a directory (borrowed), for a service that sees it as /.
 * prefix stands before every path ("" or "/srv/root"). 0 or -errno; finish it in any case.
 */
int readable_find(struct readable *readable, int root_fd, const char *prefix);
void readable_finish(struct readable *readable);

/* The next path after previous (NULL: the first), or NULL. */
const char *readable_next(const struct readable_list *list, const char *previous);
