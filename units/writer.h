#pragma once
/*
 * The plan as one block: records, lists and strings, in the order of enum plan_section.
 */
#include "units/unit.h"

/* 0, or -ENOMEM, or -E2BIG. */
int writer_write(const struct units *units, const struct units_facts *facts, bool is_public,
		 void **ret_block, size_t *ret_size);
