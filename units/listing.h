#pragma once
/*
 * All names in a directory, hidden ones too, and of what kind each is. Memory of its own, as the
 * directory is open meanwhile (units/arena.h).
 */
#include <stdbool.h>
#include <stddef.h>

enum listing_kind { LISTING_DIRECTORY, LISTING_FILE, LISTING_OTHER };

struct listing {
	char *data; /* a byte of enum listing_kind and the name with its NUL, for each */
	size_t size, capacity;
};

/* fd: a directory opened for reading (borrowed). 0 or -errno; finish it in any case. */
int listing_read(struct listing *listing, int fd);
void listing_finish(struct listing *listing);

/* From *at = 0 on: the next name, or NULL. */
const char *listing_next(const struct listing *listing, size_t *at, enum listing_kind *ret_kind);
