#pragma once
/*
 * Where a unit's programs lie. The unit may be inside of RootDirectory=, and we are not: the paths
 * that are found are the unit's, and what is looked at is where they lie for us.
 */
#include "units/unit.h"

/* Of a unit that says nothing else: systemd.exec(5), "Environment Variables in Spawned Processes". */
#define SEARCH_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The unit's path as it is for us; in the units' arena, or path itself. */
const char *search_outside(struct units *units, const struct unit *unit, const char *path);

/* 0 where the unit's path is a file that somebody may execute, or -errno (-EACCES). */
int search_check(struct units *units, const struct unit *unit, const char *path);

/*
 * The first program of that name in the folders (as in PATH), as execvp(3) looks for it; folders that
 * are not absolute are passed over. 0, -EACCES where there are only files that nobody may execute, or
 * -ENOENT.
 */
int search_program(struct units *units, const struct unit *unit, const char *name,
		   const char *folders, const char **ret_path);
