#pragma once
/*
 * The values of a run until they are written: one block of memory that is mapped at the start (the
 * filter knows no way to get more), filled from its beginning and wiped as a whole. Each value has
 * the item of the request that it came from; which of two with one name wins is settled when all
 * are here: what an item names beats what a path brought, a later path an earlier one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COLLECT_VALUES_MAX 4096
#define COLLECT_BYTES_MAX  (8U << 20) /* of all values of a unit: it is memory that cannot swap */

struct collect_value {
	const char *name;   /* in the block */
	const char *source; /* of one of a path: what it is called there; else NULL. In the block */
	const char *value;  /* in the block; NULL: it was replaced */
	uint32_t length, item;
};

struct collect {
	char *block;
	size_t size, used;
	size_t bytes; /* of values alone */
	struct collect_value *values;
	uint32_t count;
};

/* 0 or -errno. */
int collect_init(struct collect *collect);
void collect_wipe(struct collect *collect);

/* Room for a value that is about to be read: COLLECT_BYTES_MAX in all. Copies. 0, -E2BIG when the
 * values are too large together, or -ENOBUFS when there are too many. */
int collect_add(struct collect *collect, uint32_t item, const char *name, const char *source,
		const void *value, size_t length);
/* Takes back what item has given. */
void collect_drop(struct collect *collect, uint32_t item);

/* Keeps of those with one name the one that wins; is_named(item): an item that names its secret.
 * When one path has a name twice, *ret_first and *ret_second are those, and -EEXIST. */
int collect_settle(struct collect *collect, const bool *is_path, uint32_t *ret_first,
		   uint32_t *ret_second);
