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
 * In the supervisor, before the clone: which rule sets the child enters (child->files and
 * child->content). Their fds are borrowed from what is kept, or, with is_owned, the caller's to
 * close. 0 or -errno.
 */
int confine_files_choose(struct child *child);
