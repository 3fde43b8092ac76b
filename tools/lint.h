#pragma once
/*
 * What an image may not have, or had better not: a way in, a tool for whoever got in, a right that
 * nobody gave on purpose, a secret. One rule for each, with a name that --allow takes.
 */
#include <stdbool.h>
#include <stddef.h>

#include "tools/image.h"

struct lint;

struct lint_finding {
	const char *rule, *path, *message;
	bool is_error, is_allowed;
	size_t layer;
};

/* allowed: RULE or RULE:PATTERN (fnmatch(3) on the path), NULL-ended, borrowed. NULL without
 * memory. */
struct lint *lint_create(const char *const *allowed);
void lint_free(struct lint *lint);

/* The first of allowed that names no rule, or NULL. */
const char *lint_unknown_rule(const struct lint *lint);

/* For image_open. */
struct image_visitor lint_visitor(struct lint *lint);

/*
 * Once the image has been visited: what it says of itself, what a later layer hides again, and the
 * order. 0 or -ENOMEM.
 */
int lint_finish(struct lint *lint, const struct image *image);
size_t lint_findings(const struct lint *lint, const struct lint_finding **ret_findings);
