#pragma once
/*
 * PID 1's room (lib/room.h): what it needs of the real root is opened, then it goes, for good.
 */
#include "init/pid1/instance.h"

/* After boot, before anything is started. 0, also where boot made no room, or -errno. */
int instance_enter_room(struct instance *in);

/* In a fork of ours, first of all: it lives in the real root. False when there is no way, and the
 * fork has to end: it was said. */
bool instance_leave_room(const struct instance *in);
