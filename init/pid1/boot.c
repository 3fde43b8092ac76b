#include "init/pid1/boot.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "init/pid1/channel.h"
#include "init/pid1/child.h"
#include "init/pid1/host.h"
#include "init/pid1/keeper.h"
#include "init/pid1/pack.h"
#include "init/pid1/room.h"
#include "init/pid1/shutdown.h"
#include "lib/clock.h"
#include "lib/event.h"

/* More than a network and [Identity] may wait together; in the flavour of the tests less than either. */
#ifdef HOLDFAST_CRASH_POINTS
#define BOOT_S 5U
#else
#define BOOT_S 900U
#endif

void boot_start(struct instance *in)
{
	const struct child_setup setup = {.fds = {0, 1, in->error_fd}};

	int r = channel_open(in, ROLE_BOOT);
	if (r == 0)
		r = child_start(in, ROLE_BOOT, in->options->argv, &setup);
	in->timers[TIMER_BOOT] = clock_now_us() + BOOT_S * USEC_PER_SEC;
	if (r == 0)
		return;
	event_with_i64("errno", -r);
	event_emit(EVENT_ERROR, "boot-not-started", NULL, "holdfast-boot cannot be started: %s",
		   strerror(-r));
	shutdown_begin(in, STATUS_INTERNAL, 0);
}

/* It may not even die of the signal: a driver that hangs keeps it. */
void boot_give_up(struct instance *in)
{
	if (in->children[ROLE_BOOT].pid == 0 || !host_is_first_init())
		return;
	(void)snprintf(in->cause, sizeof(in->cause), "holdfast-boot did not finish in %u seconds",
		       BOOT_S);
	event_emit(EVENT_ERROR, "boot-timeout", NULL, "%s", in->cause);
	(void)kill(in->children[ROLE_BOOT].pid, SIGKILL);
	shutdown_begin(in, STATUS_INTERNAL, 0);
}

void boot_refuse(struct instance *in)
{
	in->channel.failed_status = STATUS_INTERNAL;
	(void)kill(in->children[ROLE_BOOT].pid, SIGKILL);
}

void boot_interrupt(struct instance *in, int signal)
{
	(void)kill(in->children[ROLE_BOOT].pid, signal);
}

static void go_on(struct instance *in)
{
	const char *what;
	int r = pack_finish(in, &what);

	if (r == 0) {
		what = "PID 1's room";
		r = instance_enter_room(in);
	}
	if (r == 0) {
		host_stay_in_memory();
		/* From here on log reads what we say, and renders it. */
		event_init("holdfast", EVENT_FOR_LOG);
		keeper_start(in);
		return;
	}
	event_with_i64("errno", -r);
	event_emit(EVENT_ERROR, "not-packed", NULL, "%s: %s", what, strerror(-r));
	shutdown_begin(in, STATUS_INTERNAL, 0);
}

static int status_of_failure(const struct instance *in, int code, int status)
{
	if (in->n_stops > 0)
		return 0;
	if (in->channel.failed_status)
		return in->channel.failed_status;
	event_with_i64("code", code);
	event_with_i64("status", status);
	event_emit(EVENT_ERROR, "boot-died", NULL, "holdfast-boot ended without a word");
	return STATUS_INTERNAL;
}

void boot_note_end(struct instance *in, int code, int status)
{
	in->timers[TIMER_BOOT] = USEC_INFINITY;
	/* The end began before: it was killed by it. */
	if (in->stage != STAGE_NONE)
		return;
	if (channel_close(in) < 0)
		in->channel.failed_status = STATUS_INTERNAL;
	if (in->n_stops == 0 && in->channel.failed_status == 0 && in->channel.is_booted &&
	    code == CLD_EXITED && status == 0) {
		in->stop_budget_us = in->channel.budget_us;
		go_on(in);
		return;
	}
	if (!in->cause[0])
		(void)snprintf(in->cause, sizeof(in->cause), "holdfast-boot did not finish");
	shutdown_begin(in, status_of_failure(in, code, status), 0);
}
