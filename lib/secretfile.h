#pragma once
/*
 * What holdfast-secrets hands to the child side of a unit: one memory file with a record for each
 * secret (and each Config= value) of the unit, whatever its delivery; the plan says by name where
 * each goes. A record is
 *
 *   uint32_t name_length, value_length;   native byte order; neither counts an end
 *   NAME '=' VALUE '\0'                   then zero bytes up to a multiple of 4
 *
 * so that the environment can point right into the mapping, and the value of a file may hold any
 * byte. A value for the environment has no NUL: the writer refuses it, the reader checks it.
 *
 * The supervisor never maps such a file: only its children do, after a fork that copied.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRETFILE_NAME_MAX  255
#define SECRETFILE_VALUE_MAX (1U << 20)

struct secretfile_record {
	const char *assignment; /* "NAME=VALUE", in the mapping, ends with NUL */
	const char *name;	/* name_length bytes */
	const char *value;	/* value_length bytes, then NUL */
	uint32_t name_length, value_length;
};

/* Appends a record at the end of fd. 0, -EINVAL for a name that is empty, too long or has '=' or
 * NUL in it, -E2BIG for a value that is too long, or -errno. */
int secretfile_append(int fd, const char *name, const void *value, size_t length);

/*
 * The record at *cursor (start with 0), which is moved behind it. 1, 0 at the end, -EBADMSG when
 * the bytes there are none.
 */
int secretfile_next(const void *data, size_t size, size_t *cursor,
		    struct secretfile_record *ret_record);

/* The record with that name: 1, 0 when there is none, or -EBADMSG. */
int secretfile_find(const void *data, size_t size, const char *name,
		    struct secretfile_record *ret_record);

/* Whether the value has no NUL in it, and so can stand in an environment. */
bool secretfile_is_text(const struct secretfile_record *record);
