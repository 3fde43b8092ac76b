#pragma once
/*
 * A helper's own memory between its runs: named records in a memory file that PID 1 keeps and that
 * no service is given (STORE_SECRET_STATE). What stands in it: tokens, leases, clock offsets, what is
 * cached.
 *
 * Losing it may cost what cannot be had twice (a wrapped secret_id works once), so a helper may be
 * killed between any two instructions: state_save writes a whole copy beside the one that counts,
 * then the head that makes it count, and then wipes the old one. What cannot be read is as good as
 * empty, and is written anew.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_NAME_MAX	  1024 /* without its NUL */
#define STATE_RECORDS_MAX 2048
#define STATE_SIZE_MAX	  (1U << 20) /* of all records with their heads */

struct state_record {
	char *name; /* owned; NULL: dropped */
	void *data; /* owned, size bytes */
	size_t size;
};

struct state {
	int fd; /* borrowed; -1: it is forgotten at the end */
	struct state_record *records;
	size_t count, room;
	bool is_changed;
};

/* Reads what fd holds; nothing, where it holds nothing that can be read. 0 or -errno. */
int state_load(struct state *state, int fd);
/* Wipes and frees. Does not save. */
void state_finish(struct state *state);

/* The record: size bytes, valid until the next change; NULL when there is none. */
const void *state_get(const struct state *state, const char *name, size_t *ret_size);
/* Whether there is one of just this size, copied to ret_data. */
bool state_get_exactly(const struct state *state, const char *name, void *ret_data, size_t size);
/* Copies. 0, -EINVAL for a name that is empty or too long, -ENOSPC when it is full, or -ENOMEM. */
int state_set(struct state *state, const char *name, const void *data, size_t size);
void state_drop(struct state *state, const char *name);
/* The next name that starts with prefix, at or after *cursor (start with 0); NULL at the end. */
const char *state_next(const struct state *state, const char *prefix, size_t *cursor);

/* Writes it, when something was changed since it was loaded or saved. 0, -ENOSPC or -errno. */
int state_save(struct state *state);

/* Takes records apart: size bytes at data, added to state. 0, -EBADMSG, -ENOSPC or -ENOMEM. */
int state_decode(struct state *state, const void *data, size_t size);
