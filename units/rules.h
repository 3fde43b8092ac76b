#pragma once
/*
 * What a unit's processes may do with files: from its sandbox and its ExecPaths=, ReadWritePaths= …
 * to a list of paths with rights (struct plan_rule), which the supervisor makes a Landlock rule set
 * of. The directories and the scratch that a unit declares are not in the list: they are in the plan
 * already, and the supervisor adds them.
 *
 *   strict  executes its own commands, with what the kernel opens to start them (interpreters, the
 *           loader), the programs that its command lines name, and ExecPaths=; reads everything but
 *           programs (units/readable.h), and lists every directory; writes to ReadWritePaths= and
 *           what it declares, to /dev/shm and to the devices that are nobody's.
 *   unit    everything but what NoExecPaths=, ReadOnlyPaths= and InaccessiblePaths= take away.
 *   none    everything.
 *
 * Rules only add, so what is taken away from a directory is expressed by naming all that lies beside
 * it. That holds while nothing new comes to lie there: on the image's own file system. Elsewhere it
 * is said that the key has no effect.
 */
#include "units/unit.h"

/* When all units are resolved, their sandboxes known. */
void rules_settle(struct units *units);
