#pragma once
/*
 * Condition…= and Assert…= of systemd.unit(5), as they are now.
 */
#include "lib/plan.h"

enum condition_answer { CONDITION_HOLDS, CONDITION_UNMET, CONDITION_ASSERT_FAILED };

/* All untriggering ones must hold, and one of the triggering ("|") where there are any. *ret_text:
 * the one that did not, as it was written; borrowed from the plan. */
enum condition_answer condition_check(const struct plan *plan, uint32_t unit,
				      const char **ret_text);
