#pragma once
/*
 * Tells holdfast-log what to hide: before a value is written down for anybody, its fingerprints
 * (lib/fingerprint.h) are in the table that log searches by. Where there is no table nothing is done.
 */
#include <stddef.h>

#include "lib/store.h"

/* Before the sandbox closes: maps the table. 0 or -errno. */
int hide_open(const struct store_table *store);

/* A unit's fetch: begin, each value that is a secret, and done once the unit has them. unit (borrowed
 * until then) and name are for what is said of a value that cannot be hidden. */
void hide_begin(const char *unit);
void hide_value(const char *name, const void *value, size_t length);
void hide_done(void);
