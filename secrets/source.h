#pragma once
/*
 * Where a secret comes from: file:PATH, env:NAME or cred:NAME. A source is opened while the
 * process still has the rights that it was started with, and read when it has none.
 */
#include <stddef.h>

#include "lib/secretrequest.h"
#include "lib/str.h"

/* Documented outcomes; what each means for the exit status is main.c's table. */
enum source_outcome {
	SOURCE_OK,
	SOURCE_NOT_FOUND,
	SOURCE_DENIED,
	SOURCE_MALFORMED, /* the reference, the name or the value is not what it must be */
	SOURCE_FAILED,	  /* the kernel would not: I/O, memory, descriptors */
	SOURCE_OUTCOME_COUNT
};

/* The environment that holdfast was given: size bytes of NAME=VALUE with a NUL behind each. */
struct source_environ {
	const char *data;
	size_t size;
};

/* One that was opened. Its value is read from fd, or stands in the environment at text. */
struct source {
	int fd;		  /* owned unless is_borrowed; -EBADF: none */
	bool is_borrowed; /* fd was inherited and is PID 1's */
	const char *text;
	size_t length;
	size_t n_buffered; /* bytes of the buffer that a read may have put something into */
};

/* Opens what item refers to. On any outcome but SOURCE_OK a sentence about it is in why. */
enum source_outcome source_open(const struct source_environ *environment,
				const struct secretrequest_item *item, struct source *ret_source,
				struct strbuf *why);
void source_close(struct source *source);

/*
 * The value: at *ret_value, either in the environment or in buffer (SECRETFILE_VALUE_MAX + 1 bytes,
 * of which the caller wipes n_buffered). What is delivered by environment loses one newline at its
 * end, since `echo secret >file` is how such files are made, and must have no NUL and fit into
 * execve(2).
 */
enum source_outcome source_read(struct source *source, const struct secretrequest_item *item,
				char *buffer, const char **ret_value, size_t *ret_length,
				struct strbuf *why);

/* Whether name can be what it is delivered as: a variable, or one file in a directory. */
bool source_name_fits(const struct secretrequest_item *item);
