#pragma once
/*
 * The seccomp filters of units: one for each distinct set of denied calls, made when the supervisor
 * starts, and only installed by its children.
 */
#include <stdbool.h>
#include <stdint.h>

#include <linux/filter.h>

#include "lib/plan.h"

struct filters;

/* For every service of the plan; as much memory as there are distinct sets. 0 or -ENOMEM. Lives as
 * long as the process. */
int filter_init(const struct plan *plan, struct filters **ret_filters);

/*
 * Where the kernel is asked to tell of refusals (SECCOMP_FILTER_FLAG_LOG): what goes on top of a unit's
 * filter, so that it does not tell of those that are none. Borrowed; NULL: nothing needs it there.
 */
const struct sock_fprog *filter_of_quiet(const struct filters *filters, uint32_t unit,
					 bool is_held);

/* The unit's filter, or, for a process that its sandbox does not hold, the one that denies nothing.
 * Never NULL; borrowed. */
const struct sock_fprog *filter_of(const struct filters *filters, uint32_t unit, bool is_held);

/* The one that denies nothing. Borrowed. */
const struct sock_fprog *filter_mark(const struct filters *filters);
