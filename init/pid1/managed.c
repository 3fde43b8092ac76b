/*
 * The loop of PID 1. After boot it waits in one place, its poll, for: signals (deaths among them),
 * the supervisor's channel, and two eventfds (the phase changed; are you alive?). Idle, it does not
 * wake at all: every timer belongs to something that has begun and not yet ended.
 *
 * From managed_run on nothing returns but by the end's last stage. What fails is said and worked
 * around, or ends the instance in order.
 */
#include "init/pid1/managed.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/pid1/boot.h"
#include "init/pid1/channel.h"
#include "init/pid1/host.h"
#include "init/pid1/instance.h"
#include "init/pid1/keeper.h"
#include "init/pid1/pack.h"
#include "init/pid1/panic.h"
#include "init/pid1/reap.h"
#include "init/pid1/shutdown.h"
#include "init/pid1/watchdog.h"
#include "lib/signals.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"

#define DEFAULT_BUDGET_US (25 * USEC_PER_SEC) /* until boot has said what it is */
#define DEADLINE_SLACK_US (1 * USEC_PER_SEC)  /* the supervisor ends by itself within the budget */
#define BOOT_STOP_US	  (2 * USEC_PER_SEC)
#define DUMP_TIMEOUT_US	  (60 * USEC_PER_SEC) /* of one that was asked for: consoles are slow */
#define STOPPED_US	  (1 * USEC_PER_SEC)  /* from the supervisor's last word to its exit */
#define SIGNALS_A_LOOK	  32

/* ---- signals */

static void take_child(struct instance *in, const struct signalfd_siginfo *info)
{
	(void)info;
	reap_all(in);
}

static void arm_stop(struct instance *in, uint64_t budget_us)
{
	if (in->timers[TIMER_STOP] == USEC_INFINITY)
		in->timers[TIMER_STOP] = clock_add_us(clock_now_us(), budget_us);
}

static void stop(struct instance *in, const struct signalfd_siginfo *info)
{
	if (in->n_stops++ == 0)
		in->end = host_end_of_signal((int)info->ssi_signo);
	if (in->children[ROLE_BOOT].pid > 0) {
		arm_stop(in, BOOT_STOP_US);
		boot_interrupt(in, in->n_stops == 1 ? SIGTERM : SIGKILL);
		return;
	}
	arm_stop(in, clock_add_us(in->stop_budget_us, DEADLINE_SLACK_US));
	/* The first two mean something: they have room of their own. */
	(void)reap_journal_signal(in, (int)info->ssi_signo, (pid_t)info->ssi_pid, info->ssi_uid,
				  in->n_stops <= 2);
}

static void take_stop(struct instance *in, const struct signalfd_siginfo *info)
{
	char name[SIGNALS_NAME_SIZE];

	signals_name((int)info->ssi_signo, name);
	event_with_string("signal", name);
	event_with_i64("sender", info->ssi_pid);
	event_emit(EVENT_NOTICE, "stop-asked", NULL, "stopping: %s was received", name);
	stop(in, info);
}

/* What they mean there is for machines alone. */
static void take_host_stop(struct instance *in, const struct signalfd_siginfo *info)
{
	if (host_is_first_init())
		take_stop(in, info);
}

static void take_note(struct instance *in, const struct signalfd_siginfo *info)
{
	(void)reap_journal_signal(in, (int)info->ssi_signo, (pid_t)info->ssi_pid, info->ssi_uid,
				  false);
}

static void take_dump(struct instance *in, const struct signalfd_siginfo *info)
{
	(void)info;
	if (in->is_up && in->stage == STAGE_NONE)
		shutdown_dump(in, DUMP_TIMEOUT_US);
}

/* What is not here is taken from the queue and ignored. */
static void (*const signal_actions[SIGNALS_MAX + 1])(struct instance *,
						     const struct signalfd_siginfo *) = {
	[SIGCHLD] = take_child,
	[SIGTERM] = take_stop,
	[SIGINT] = take_stop,
	[SIGQUIT] = take_stop,
	[SIGPWR] = take_stop,
	[SIGNALS_RTMIN + 3] = take_stop,
	[SIGNALS_RTMIN + 4] = take_host_stop,
	[SIGNALS_RTMIN + 5] = take_host_stop,
	[SIGHUP] = take_note,
	[SIGUSR1] = take_dump,
};

/* One read a turn: whoever floods us with signals does not keep us from the rest. */
static void read_signals(struct instance *in)
{
	struct signalfd_siginfo infos[SIGNALS_A_LOOK];

	ssize_t n = read(in->signal_fd, infos, sizeof(infos));
	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(infos[0]); i++) {
		uint32_t number = infos[i].ssi_signo;
		if (number <= SIGNALS_MAX && signal_actions[number])
			signal_actions[number](in, &infos[i]);
	}
}

/* ---- the others that wake us */

static void read_channel(struct instance *in)
{
	if (channel_read(in) == 0)
		return;
	if (in->channel.sender == ROLE_BOOT)
		boot_refuse(in);
	else if (in->children[ROLE_SUPERVISOR].pid > 0)
		(void)kill(in->children[ROLE_SUPERVISOR].pid, SIGKILL);
	(void)channel_close(in);
}

/* A stop that the supervisor began by itself has the same deadline as one that was asked for. */
static void read_phase(struct instance *in)
{
	eventfd_t count;

	(void)eventfd_read(in->event_phase, &count);
	uint32_t phase = board_read_manager(&in->board).phase;
	if (phase == BOARD_STOPPED)
		in->timers[TIMER_STOPPED] = clock_now_us() + STOPPED_US;
	else if (phase >= BOARD_DRAINING)
		arm_stop(in, clock_add_us(in->stop_budget_us, DEADLINE_SLACK_US));
}

static void answer(struct instance *in)
{
	eventfd_t count;

	(void)eventfd_read(in->event_ask, &count);
	in->journal->answers++;
	(void)eventfd_write(in->event_answer, 1);
}

/* It is an infrequent and short message, and the socket lets no other through (boot/button.c). */
static void read_button(struct instance *in)
{
	const struct signalfd_siginfo info = {.ssi_signo = SIGPWR};
	char message[1024];

	if (recv(store_find(in->store, STORE_BUTTON, 0), message, sizeof(message), MSG_DONTWAIT) <
	    0) {
		if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
			store_drop(in->store, STORE_BUTTON, 0);
		return;
	}
	event_emit(EVENT_NOTICE, "power-button", NULL, "stopping: the power button was pressed");
	in->is_button_pressed = true;
	stop(in, &info);
}

/* ---- timers */

static void kick_stage(struct instance *in)
{
	shutdown_advance(in, true);
}

static void (*const timer_actions[TIMER_COUNT])(struct instance *) = {
	[TIMER_HUNG] = keeper_check_hung, [TIMER_REAP] = reap_all,
	[TIMER_DUMP] = shutdown_end_dump, [TIMER_STOP] = shutdown_at_deadline,
	[TIMER_WATCHDOG] = watchdog_feed, [TIMER_STAGE] = kick_stage,
	[TIMER_BOOT] = boot_give_up,	  [TIMER_STOPPED] = shutdown_by_board,
};

static void fire_timers(struct instance *in)
{
	uint64_t now_us = clock_now_us();

	for (enum timer timer = 0; timer < TIMER_COUNT; timer++) {
		if (in->timers[timer] > now_us)
			continue;
		in->timers[timer] = USEC_INFINITY;
		timer_actions[timer](in);
	}
	keeper_start_due(in, now_us);
}

static uint64_t next_deadline(const struct instance *in)
{
	uint64_t next = keeper_next_due(in);

	for (enum timer timer = 0; timer < TIMER_COUNT; timer++)
		next = MIN(next, in->timers[timer]);
	return next;
}

/* ---- the loop */

static void turn(struct instance *in)
{
	enum { SIGNALS, CHANNEL, PHASE, ASK, BUTTON, COUNT };
	static void (*const actions[COUNT])(struct instance *) = {
		[SIGNALS] = read_signals, [CHANNEL] = read_channel, [PHASE] = read_phase,
		[ASK] = answer,		  [BUTTON] = read_button,
	};
	struct pollfd fds[COUNT] = {
		[SIGNALS] = {.fd = in->signal_fd, .events = POLLIN},
		[CHANNEL] = {.fd = in->channel.fd, .events = POLLIN},
		[PHASE] = {.fd = in->event_phase, .events = POLLIN},
		[ASK] = {.fd = in->event_ask, .events = POLLIN},
		[BUTTON] = {.fd = store_find(in->store, STORE_BUTTON, 0), .events = POLLIN},
	};

	if (poll(fds, COUNT, clock_poll_ms(next_deadline(in))) > 0) {
		for (int i = 0; i < COUNT; i++) {
			if (fds[i].revents)
				actions[i](in);
		}
	}
	fire_timers(in);
	shutdown_advance(in, false);
}

/* The signals are blocked already; a child's end before this is pending and not lost. */
static int open_signals(void)
{
	uint64_t mask = ~SIGNALS_FAULTS;
	int fd = (int)syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC | SFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int prepare(struct instance *in, const char **ret_what)
{
	in->is_pid1 = getpid() == 1;
	/* /proc/1/fd and our memory are nobody's business: they lead to the secrets. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	int r = pack_begin(in, ret_what);
	if (r < 0)
		return r;
	panic_install(in->error_fd);
	(void)signals_ask_at_parents_death(in->options->pdeath_signal);
	/* musl's sigaction() has just unblocked 33 and 34, which it takes for its own. */
	signals_set_mask(~SIGNALS_FAULTS, NULL);
	*ret_what = "signalfd";
	in->signal_fd = open_signals();
	if (in->signal_fd < 0)
		return in->signal_fd;
	*ret_what = "becoming a subreaper";
	if (!in->is_pid1 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -errno;
	return 0;
}

static void init(struct instance *in, const struct options *options)
{
	*in = (struct instance){
		.options = options,
		.channel = {.fd = -EBADF},
		.event_format = options->command ? EVENT_RAW : EVENT_JSON,
		.signal_fd = -EBADF,
		.null_fd = -EBADF,
		.error_fd = -EBADF,
		.event_journal = -EBADF,
		.event_phase = -EBADF,
		.event_ask = -EBADF,
		.event_answer = -EBADF,
		.watchdog.fd = -EBADF,
		.room = ROOM_NONE,
		.stop_budget_us = DEFAULT_BUDGET_US,
	};
	for (enum timer timer = 0; timer < TIMER_COUNT; timer++)
		in->timers[timer] = USEC_INFINITY;
	for (enum role role = 0; role < ROLE_COUNT; role++)
		in->children[role].respawn_us = USEC_INFINITY;
}

int managed_run(const struct options *options)
{
	static struct instance instance;
	struct instance *in = &instance;
	const char *what;

	init(in, options);
	event_init("holdfast", in->event_format);
	int r = prepare(in, &what);
	if (r < 0) {
		event_with_i64("errno", -r);
		event_emit(EVENT_ERROR, "not-started", NULL, "%s: %s", what, strerror(-r));
		return r == -EMFILE ? STATUS_CANNOT : STATUS_INTERNAL;
	}
	boot_start(in);
	while (in->stage != STAGE_DONE)
		turn(in);
	if (in->is_host)
		host_end(in);
	return in->status;
}
