#pragma once
/*
 * What the parts of units/resolve.c share: each finds out one side of a unit whose files are read.
 */
#include "units/unit.h"

struct resolving {
	struct units *units;
	struct unit *unit;
};

/* NAME=VALUE in the environment of who asks for the units, or NULL. Borrowed from it. */
const char *resolving_variable(const struct units *units, const char *name, size_t length);

/* Whether anything is delivered to the unit as a file. */
bool resolving_has_files(const struct unit *unit);

/* units/resolve_command.c: the lines of all phases and probes, when the environment is known. */
void resolve_commands(struct resolving *r);

/* units/resolve_secrets.c: what is known of the unit's secrets before they are fetched. */
void resolve_secrets(struct resolving *r);
