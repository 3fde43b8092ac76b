#pragma once
/*
 * Finding units and reading them: search path, templates, aliases, masks, drop-ins
 * (systemd.unit(5), "UNIT FILE LOAD PATH").
 */
#include "units/unit.h"

/* The folders where units are looked for, from the request and holdfast.conf. */
void load_set_search_path(struct units *units);

/* The unit with that name, if it was asked for before; else NULL. */
struct unit *load_find_exact(struct units *units, const char *name);
/* The same by any of its aliases. */
struct unit *load_find(struct units *units, const char *name);

/*
 * The same, but it becomes part of the instance: to be loaded by load_all. NULL, after
 * an error was said, for what can be no unit.
 */
struct unit *load_request(struct units *units, const char *name, const struct where *at);
/* By its file, wherever that lies (holdfast-check FILE). */
struct unit *load_request_file(struct units *units, const char *path, const struct where *at);

/* A unit without a file, for the caller to fill in. */
struct unit *load_create(struct units *units, const char *name, const struct where *at);

/* Reads one that was asked for: its file, drop-ins and folders of links. Says what is wrong, but for
 * is_missing and is_masked. What was already made (UNIT_IS_MAIN) stays as it is. */
void load_read(struct units *units, struct unit *unit);
/* Gives a unit that was read another name, under which it is found from then on, too. */
void load_rename(struct units *units, struct unit *unit, const char *name);

/* Reads every unit that was asked for, and those that they pull in, and so on. */
void load_all(struct units *units);

/* Whether a unit's file lies where distributions have theirs, and so was written for systemd. */
bool load_is_distributions(const char *file);

/* A target that is always reached and needs no file; one that never is. */
bool load_is_standard_target(const char *name);
bool load_is_final_target(const char *name);
