#pragma once
/*
 * %-specifiers: systemd.unit(5), "SPECIFIERS", with the values that they have for the system's
 * manager.
 */
#include "units/names.h"
#include "units/source.h"

struct specifier_context {
	struct arena *arena;
	struct source *source;
	const struct unit_name *name; /* NULL: none of the unit's (holdfast.conf) */
	const char *file;	      /* the unit's fragment, for %y and %Y */
	const char *hostname;
};

/* 0, or -EINVAL with a message in *ret_text and the place in text in *ret_offset. */
int specifier_expand(const struct specifier_context *context, const char *text, char **ret_text,
		     size_t *ret_offset);
