#pragma once
/*
 * Starting one of holdfast's own programs: from the fd that was opened at boot, with what its role
 * is granted of the store, an empty environment, and no signal ignored.
 */
#include "init/pid1/instance.h"

struct child_setup {
	int fds[3];	  /* its 0, 1 and 2; borrowed */
	uint64_t blocked; /* signals that wait until it can take them; SIGNALS_BITs */
};

/* Whom the gate takes for one of ours; 0: it has ended. */
void child_publish(const struct instance *in, enum role role, pid_t pid);

/* The pid is in in->children[role] then. 0, or -errno when there could be no process. */
int child_start(struct instance *in, enum role role, char *const argv[],
		const struct child_setup *setup);
