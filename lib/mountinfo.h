#pragma once
/*
 * /proc/PID/mountinfo (proc_pid_mountinfo(5)), parsed once into memory.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mountinfo_entry {
	uint64_t id;
	uint32_t major, minor; /* of the file system, which may be mounted more than once */
	const char *root;      /* what of the file system is mounted here; "/": all of it */
	const char *point;     /* with \040 and its like undone, as root is */
	const char *options;   /* of this mount: ro,nosuid,... */
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
/* The same of another file of that form, say PID/mountinfo below an open /proc. */
int mountinfo_read_at(int dirfd, const char *path, struct mountinfo *ret_info);
/* The same for text in its form, which is malloc'ed and taken. 0 or -ENOMEM. */
int mountinfo_parse(char *text, struct mountinfo *ret_info);
void mountinfo_finish(struct mountinfo *info);

/* "noexec" and its like, of the mount itself. */
bool mountinfo_has_option(const struct mountinfo_entry *entry, const char *option);
/* A container's root, that a runtime made for it of an image: nobody else's file system. */
bool mountinfo_is_own_overlay(const struct mountinfo_entry *entry);

/* The topmost mount at exactly that path, or NULL. */
const struct mountinfo_entry *mountinfo_find(const struct mountinfo *info, const char *point);
