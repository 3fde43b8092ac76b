/*
 * Fed at a third of its timeout, and by whom matters: PID 1 does it, from its one loop, so a PID 1 that
 * hangs is noticed. But a machine whose supervisor hangs supervises nothing. So each time PID 1 asks the
 * supervisor, as /livez does, and feeds only if the last question was answered. One that was not is first
 * of all a reason to kill the supervisor, which costs nobody anything: its successor has two thirds of
 * the timeout to answer. Only when none does (a supervisor in uninterruptible sleep cannot even be
 * killed) the machine is reset.
 *
 * Before the supervisor and during the end it is fed as long as PID 1 lives: both have deadlines of
 * their own. It is never disarmed (no 'V' is written), since a machine that hangs in its last step is
 * what it is for, too.
 */
#include "init/pid1/watchdog.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/watchdog.h>

#include "lib/clock.h"
#include "lib/event.h"

#define TIMEOUT_S_DEFAULT 30 /* of one that does not tell its own */

/* The libraries do not agree on the type of ioctl's second argument. */
static void call(int fd, unsigned long command, int *value)
{
	(void)syscall(SYS_ioctl, fd, command, value);
}

static void ask(struct instance *in)
{
	in->watchdog.answers = atomic_load(&in->board.header->answers);
	(void)eventfd_write(store_find(in->store, STORE_EVENT_ASK_SUPERVISOR, 0), 1);
}

static bool is_supervised(const struct instance *in)
{
	return in->is_up && in->stage == STAGE_NONE;
}

static bool has_answered(const struct instance *in)
{
	return atomic_load(&in->board.header->answers) != in->watchdog.answers;
}

static void kill_supervisor(struct instance *in)
{
	event_emit(EVENT_ERROR, "supervisor-hung", NULL,
		   "the supervisor does not answer the watchdog's question: killing it");
	if (in->children[ROLE_SUPERVISOR].pid > 0)
		(void)kill(in->children[ROLE_SUPERVISOR].pid, SIGKILL);
}

void watchdog_start(struct instance *in, uint32_t end_s)
{
	int timeout_s = 0;

	in->watchdog.fd = store_find(in->store, STORE_WATCHDOG, 0);
	in->watchdog.end_s = end_s;
	call(in->watchdog.fd, WDIOC_GETTIMEOUT, &timeout_s);
	if (timeout_s <= 0)
		timeout_s = TIMEOUT_S_DEFAULT;
	in->watchdog.interval_us = (uint64_t)timeout_s * USEC_PER_SEC / 3;
	watchdog_feed(in);
}

void watchdog_feed(struct instance *in)
{
	bool was_asked = in->watchdog.was_asked;

	in->timers[TIMER_WATCHDOG] = clock_now_us() + in->watchdog.interval_us;
	in->watchdog.was_asked = is_supervised(in);
	bool is_well = !was_asked || !in->watchdog.was_asked || has_answered(in);
	if (is_well)
		call(in->watchdog.fd, WDIOC_KEEPALIVE, &(int){0});
	else
		kill_supervisor(in);
	if (in->watchdog.was_asked)
		ask(in);
}

void watchdog_leave(const struct instance *in)
{
	int timeout_s = (int)in->watchdog.end_s;

	if (in->watchdog.fd < 0)
		return;
	/* Firmware may take long to start, and must not be reset by it. */
	if (timeout_s > 0)
		call(in->watchdog.fd, WDIOC_SETTIMEOUT, &timeout_s);
	call(in->watchdog.fd, WDIOC_KEEPALIVE, &(int){0});
}
