/*
 * Nothing is parsed and nothing is chosen here: boot made the room, and proved it. What PID 1 does with
 * paths afterwards is done in a fork that has left (its programs, the machine's disks), or by fds that
 * are opened now (the list below), or not at all.
 */
#include "init/pid1/room.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "init/pid1/command_rest.h"
#include "init/pid1/host.h"
#include "init/pid1/panic.h"
#include "lib/event.h"
#include "lib/machine.h"
#include "lib/termination.h"

static void keep_what_is_needed(void)
{
	command_rest_keep_proc();
	termination_keep();
	if (!host_is_first_init())
		return;
	panic_keep_log();
	machine_keep_reset();
}

int instance_enter_room(struct instance *in)
{
	in->room = (struct room)ROOM_NONE;
	for (uint32_t i = 0; i < ROOM_FD_COUNT; i++)
		in->room.fds[i] = store_find(in->store, STORE_ROOM, i);
	if (!room_exists(&in->room))
		return 0;
	keep_what_is_needed();
	int r = room_enter(&in->room);
	/* Another user namespace is another set of rights, which resets it. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	return r;
}

bool instance_leave_room(const struct instance *in)
{
	int r = room_leave(&in->room);

	if (r == 0)
		return true;
	event_with_i64("errno", -r);
	event_emit(EVENT_ERROR, "room-not-left", NULL, "a child of PID 1 cannot go back: %s",
		   strerror(-r));
	return false;
}
