#pragma once
/*
 * The table of everything that a unit file may say, and what holdfast makes of it.
 */
#include "units/lex.h"
#include "units/unit.h"

/* What holdfast makes of a directive that systemd has (docs/directives.md is printed from it). */
enum schema_care {
	SCHEMA_HONOURED,
	SCHEMA_CHECKED,	     /* its value is, but nothing ever uses it */
	SCHEMA_HARMLESS,     /* passed over: its meaning is kept anyway, or there is none here */
	SCHEMA_NOT_HONOURED, /* a warning at its line */
	SCHEMA_NOT_ENFORCED, /* a warning at its line: protection that the unit does not get */
	SCHEMA_CARE_COUNT
};

/* Calls visit for everything that a unit file may say, in no order. */
void schema_walk(void (*visit)(void *context, const char *section, const char *key,
			       enum schema_care care),
		 void *context);

/* What a unit is before its files are read. */
void schema_init_unit(struct unit *unit);

/* Takes one assignment of the section into the unit; says what is wrong with it. */
void schema_apply(struct units *units, struct unit *unit, const char *section,
		  const struct lex_item *item);

/* Whether the section may stand in the unit; says why not. */
bool schema_enter(struct units *units, struct unit *unit, const struct lex_item *item);
