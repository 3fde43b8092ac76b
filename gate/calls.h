#pragma once
/*
 * Refused system calls: on a host the kernel tells of each that a filter of a service's (or of our own)
 * refused, by its audit (boot/audit.c). Each is counted in the gate's record, by unit and call, and the
 * 1st, 10th, 100th … of a kind is an event.
 */
#include "gate/gate.h"

struct calls {
	struct gate *gate;
	int fd; /* to wait for with POLLIN; -EBADF: nobody tells */
};

void calls_open(struct calls *calls, struct gate *gate);
/* Takes a few of those that wait; never blocks. */
void calls_take(struct calls *calls);
