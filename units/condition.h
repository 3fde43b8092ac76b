#pragma once
/*
 * What stands behind Condition and Assert: the word, and who answers.
 */
#include <stdbool.h>
#include <stddef.h>

#include "units/unit.h"

struct condition_row {
	const char *word; /* behind "Condition" */
	enum condition_type type;
	bool (*decide)(struct units *units, const char *parameter); /* for CONDITION_CONSTANT */
	/* NULL: any parameter can be one; expected: of which there are more. */
	bool (*is_known)(const char *parameter);
	const char *expected;
};

/* The row for a key such as ConditionPathExists; NULL. */
const struct condition_row *condition_find(const char *key, bool *ret_is_assert);

/* A condition or an assertion among them says no, whatever comes. */
bool condition_cannot_hold(const struct conditions *list);

/* One of them asks for what may be otherwise when the unit starts. */
bool condition_may_change(const struct conditions *list);

extern const struct condition_row condition_rows[];
extern const size_t n_condition_rows;
