#pragma once
/*
 * How a room is made: in a child, whose mount namespace becomes the room's and whose fds are ours.
 */
#include <stdbool.h>
#include <stddef.h>

#include "init/boot/boot.h"
#include "lib/room.h"

#define ROOM_PART_EMPTY	   (1U << 0) /* a root of its own; without it the real one, stripped */
#define ROOM_PART_CTL	   (1U << 1) /* holdfastctl and what it and runtimes need */
#define ROOM_PART_OWN_USER (1U << 2) /* in a user namespace of its own, all others beside it */

/* What went wrong first: the step, and why. */
struct room_failure {
	int error; /* negative errno */
	const char *step;
};

/* Makes a room of those parts. 0 with its fds, for the caller to close, or -errno with *ret_failure. */
int room_build(const struct boot *boot, unsigned parts, struct room *ret_room,
	       struct room_failure *ret_failure);
