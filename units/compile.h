#pragma once
/*
 * From text to plan: the one entry of the unit language. Pure but for reading files below a root:
 * it starts nothing, mounts nothing, logs nothing, and gives the same result offline
 * (holdfast-check, on an image's tree) as at boot.
 */
#include <stdbool.h>
#include <stddef.h>

#include "units/types.h"

struct units; /* everything that was loaded; the arena that all the text above lives in */

/*
 * Loads, checks and resolves everything. Always returns a list of diagnostics; with errors in it
 * *ret_units is still set, so that --json can show what was understood, but units_compile refuses.
 * 0, or -errno when memory or root_fd fail.
 */
int units_load(const struct units_request *request, struct units **ret_units);
const struct diag_list *units_diagnostics(const struct units *units);
const struct units_conf *units_conf(const struct units *units);
size_t units_folders(const struct units *units, const struct units_folder **ret_folders);
/* What is part of the instance, as far as it was understood: valid with errors too. */
struct units_summary {
	const char *name, *file; /* "" for a standard target without one */
	const char *type;	 /* of a service; else NULL */
	bool is_wanted, is_essential;
};
size_t units_count(const struct units *units);
struct units_summary units_summary(const struct units *units, size_t i);
void units_free(struct units *units);

/*
 * The plan, or with is_public the public plan, as one malloc'ed block for the caller to free.
 * 0, -EINVAL when the diagnostics have errors, -E2BIG beyond a limit, -ENOMEM.
 */
int units_compile(const struct units *units, const struct units_facts *facts, bool is_public,
		  void **ret_block, size_t *ret_size);
