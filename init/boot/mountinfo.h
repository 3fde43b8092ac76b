#pragma once
/*
 * /proc/self/mountinfo (proc(5)), parsed once into memory.
 */
#include <stdbool.h>
#include <stddef.h>

struct mountinfo_entry {
	const char *point;   /* with \040 and its like undone */
	const char *options; /* of this mount: ro,nosuid,... */
	const char *type;
	bool is_shared;	  /* what is mounted below it reaches other namespaces */
	bool is_writable; /* neither the mount nor its file system is read-only */
};

struct mountinfo {
	char *text; /* owned; the entries point into it */
	struct mountinfo_entry *entries;
	size_t count;
};

/* 0, -ENOENT without /proc, -E2BIG beyond 4 MiB, -ENOMEM. */
int mountinfo_read(struct mountinfo *ret_info);
/* The same for text in its form, which is malloc'ed and taken. 0 or -ENOMEM. */
int mountinfo_parse(char *text, struct mountinfo *ret_info);
void mountinfo_finish(struct mountinfo *info);

/* The topmost mount at exactly that path, or NULL. */
const struct mountinfo_entry *mountinfo_find(const struct mountinfo *info, const char *point);
