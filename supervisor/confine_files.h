#pragma once
/*
 * What a unit's processes may do with files, by Landlock: plan_unit.rules, made into rule sets.
 */
#include <stdbool.h>
#include <stdint.h>

#include "supervisor/spawner.h"

struct child;

/* What is the same for every spawn, and the rule sets that were made so far. 0 or -ENOMEM. */
int confine_files_init(struct spawner *spawner);

/*
 * In the supervisor, before the clone: which rule set the child enters. child->ruleset_fd is
 * borrowed from what is kept, or, with child->owns_ruleset, the caller's to close; it is -EBADF
 * where the child makes its own (confine_files) or enters none. 0 or -errno.
 */
int confine_files_choose(struct child *child);
