#pragma once
/*
 * Names of units: systemd.unit(5), "DESCRIPTION" and "STRING ESCAPING FOR INCLUSION IN UNIT NAMES".
 */
#include <stdbool.h>

#include "lib/plan.h"
#include "units/arena.h"

#define UNIT_NAME_MAX 255

enum name_class {
	NAME_SUPPORTED, /* kind says which */
	NAME_FOREIGN,	/* a type that systemd has and holdfast has not: timer, mount, … */
	NAME_INVALID
};

struct unit_name {
	enum name_class class;
	enum unit_kind kind;
	const char *full;
	const char *suffix;   /* behind the last dot: "service" */
	const char *prefix;   /* before @ and the suffix */
	const char *instance; /* NULL: none; "": a template */
};

/* Takes text apart; the parts live in the arena, or in text. */
struct unit_name name_parse(struct arena *arena, const char *text);

/* "a@.service" for a@b.service. */
char *name_template(struct arena *arena, const struct unit_name *name);
/* Puts the instance into a template's name. */
char *name_instance(struct arena *arena, const struct unit_name *template, const char *instance);

/* Undoes the escaping: - is /, \xNN is a byte. */
char *name_unescape(struct arena *arena, const char *text);
