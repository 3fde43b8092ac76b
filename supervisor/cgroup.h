#pragma once
/*
 * A unit's processes: which they are, how many, and signals to them.
 *
 * Where holdfast has a cgroup2 subtree, each unit has a cgroup below it, which no process can leave
 * by itself; it is made when the unit's first process is spawned. Elsewhere (the default container)
 * every process that is spawned leads a session of its own, and the unit's processes are those in
 * these sessions, and the children of those. That misses a daemon that made a session of its own
 * and lost its parent, unless it is the main process: such ones end with the instance alone.
 */
#include <stdbool.h>
#include <stdint.h>

#include "supervisor/spawner.h"

enum kill_who {
	KILL_WHO_MAIN,	  /* slot MAIN, or its process group with UNIT_KILL_GROUP */
	KILL_WHO_CONTROL, /* slot CONTROL and the rest of its session */
	KILL_WHO_ALL,	  /* everything */
	KILL_WHO_REST	  /* everything but slots MAIN and CONTROL */
};

/* The unit's directory below our subtree, made if need be: an fd owned by the caller, -EBADF where
 * there are no cgroups, or -errno. What the unit may take of the machine is written into it; what the
 * kernel does not take of that is said, and is no error. */
int cgroup_open(const struct spawner *spawner, uint32_t unit);
/* Whether the kernel has killed any of its processes for the unit's memory, since its cgroup was made
 * for this run (memory.events). */
bool cgroup_has_oom_kill(const struct spawner *spawner, uint32_t unit);
void cgroup_remove(const struct spawner *spawner, uint32_t unit);

/*
 * Signals them. session is that of the unit's last main process (board_unit.session; 0: none), for
 * what it left behind. How many were signalled (with cgroup.kill: 1 if there were any), or -errno.
 */
int unit_kill(const struct spawner *spawner, uint32_t unit, int32_t session, enum kill_who who,
	      int signal);

/* How many processes the unit has (zombies do not count), or -errno. */
int unit_count_processes(const struct spawner *spawner, uint32_t unit, int32_t session);
