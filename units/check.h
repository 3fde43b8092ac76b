#pragma once
/*
 * What a unit means as a whole: defaults that depend on several keys, and combinations that cannot
 * work.
 */
#include "units/unit.h"

/* Before the relations are resolved into numbers: fills in what follows from other keys. */
void check_unit(struct units *units, struct unit *unit);

/* After graph_build: whether all can be stopped within the one stop budget. */
void check_stop_budget(struct units *units);

/* Once all are loaded: a wrapped secret_id for Vault can be had once, so one unit alone may ask. */
void check_wrapped(struct units *units);

/* Says that what is refused since it would let somebody in, and why: an error, or with Shells=warn a
 * warning. */
void check_refused(struct units *units, const struct where *at, const char *what,
		   const char *refusal);
