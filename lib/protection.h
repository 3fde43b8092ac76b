#pragma once
/*
 * How far each promise is kept, in one list: what boot found out stands in the plan, what holdfast-gate
 * found in its own record.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/gateboard.h"
#include "lib/plan.h"

struct protection {
	enum protection_level level;
	const char *name, *rung, *why; /* why: empty at the top */
	bool is_of_gate;
};

struct protection_list {
	const struct plan *plan;
	const struct gateboard *gate; /* NULL: there is none */
	uint32_t next;
	struct gate_rung rung; /* what the last texts point into */
};

/* True with the next one, whose texts hold until the next call. Begun by {plan, gate}. */
bool protection_next(struct protection_list *list, struct protection *ret_protection);
