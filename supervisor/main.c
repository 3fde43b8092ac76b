/*
 * holdfast-supervisor: starts, watches and stops the units of the sealed plan. It is not the parent
 * of anything (PID 1 is), so its death costs nothing: the next one adopts what the board says.
 *
 * One loop. In each turn the notifications come before the exits (what a service said before it
 * ended must be heard first), then goals are followed until nothing moves, then it waits. It has no
 * timer of its own but the earliest deadline on the board: an idle instance never wakes it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/proto.h"
#include "supervisor/adopt.h"
#include "supervisor/instance.h"
#include "supervisor/manager.h"
#include "supervisor/probe.h"
#include "supervisor/reconcile.h"
#include "supervisor/spawn.h"
#include "supervisor/timers.h"
#include "supervisor/turns.h"
#include "supervisor/watch.h"

#define EVENTS_MAX 64

enum source { SOURCE_JOURNAL, SOURCE_ASK, SOURCE_NOTIFY };

struct loop {
	struct manager manager;
	int journal, ask, answer, notify;
};

static int poll_add(int poll_fd, int fd, uint64_t data)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};

	if (fd < 0)
		return 0;
	return epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void say_hello(int channel)
{
	struct proto_packet hello = {.type = PROTO_HELLO, .value = PROTO_VERSION};

	(void)proto_send(channel, &hello, -EBADF);
}

static int loop_init(struct loop *loop)
{
	const struct store_table *store;

	int r = store_attach(ROLE_SUPERVISOR, &store);
	if (r < 0) {
		event_emit(EVENT_ERROR, "supervisor-start-failed", NULL, "holdfast-supervisor: %s",
			   store_strerror(r));
		exit(EXIT_FAILURE);
	}
	r = manager_init(&loop->manager, store);
	if (r < 0 || (r = probe_init(&loop->manager)) < 0)
		return r;
	turns_init(&loop->manager);
	loop->journal = store_find(store, STORE_EVENT_JOURNAL, 0);
	loop->ask = store_find(store, STORE_EVENT_ASK_SUPERVISOR, 0);
	loop->answer = store_find(store, STORE_EVENT_ANSWER, 0);
	loop->notify = store_find(store, STORE_NOTIFY, 0);
	loop->manager.poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->manager.poll_fd < 0)
		return -errno;
	if ((r = poll_add(loop->manager.poll_fd, loop->journal, SOURCE_JOURNAL)) < 0 ||
	    (r = poll_add(loop->manager.poll_fd, loop->ask, SOURCE_ASK)) < 0 ||
	    (r = poll_add(loop->manager.poll_fd, loop->notify, SOURCE_NOTIFY)) < 0)
		return r;
	say_hello(loop->manager.channel);
	return 0;
}

/* Follows the goals until nothing moves any more. */
static void settle(struct loop *loop)
{
	struct manager *m = &loop->manager;

	do {
		reconcile_run(m);
		instance_settle(m);
	} while (m->queue_count > 0 && !m->must_stop_looking);
	spawn_land(&m->spawner);
	board_publish(&m->board);
	event_flush();
}

static void answer(struct loop *loop)
{
	eventfd_t count;

	(void)eventfd_read(loop->ask, &count);
	atomic_fetch_add(&loop->manager.board.header->answers, 1);
	(void)eventfd_write(loop->answer, 1);
}

static void wait_for_events(struct loop *loop)
{
	struct epoll_event events[EVENTS_MAX];
	eventfd_t count;
	int n = epoll_wait(
		loop->manager.poll_fd, events, EVENTS_MAX,
		clock_poll_ms(MIN(timers_next(&loop->manager), probe_next_due(&loop->manager))));

	for (int i = 0; i < n; i++) {
		uint64_t source = events[i].data.u64;
		if (source & PROBE_SOCKET)
			probe_ready(&loop->manager, source);
		else if (source & WATCH_SOCKET)
			watch_ready(&loop->manager, source);
		else if (source == SOURCE_JOURNAL)
			(void)eventfd_read(loop->journal, &count);
		else if (source == SOURCE_ASK)
			answer(loop);
	}
}

static void loop_run(struct loop *loop)
{
	struct manager *m = &loop->manager;

	adopt_run(m, loop->notify);
	settle(loop);
	while (!m->must_stop_looking) {
		wait_for_events(loop);
		adopt_news(m, loop->notify);
		uint64_t now = clock_now_us();
		timers_check(m, now);
		probe_check_time(m, now);
		instance_check_time(m, now);
		settle(loop);
	}
}

static struct loop loop;

/* A child that shares our memory, and says a line, has not our files. */
static void publish(void)
{
	struct board *board = &loop.manager.board;

	if (atomic_load(&board->header->supervisor_pid) == (int32_t)getpid())
		board_publish(board);
}

int main(void)
{
	event_init("holdfast-supervisor", EVENT_FOR_LOG);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	int r = loop_init(&loop);
	if (r < 0) {
		event_emit(EVENT_ERROR, "supervisor-start-failed", NULL,
			   "cannot take over plan, board and journal: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	/* First the lines that a predecessor did not come to write. */
	event_hold(&loop.manager.board.header->lines);
	event_flush();
	event_before_flush(publish);
	/* A predecessor may have died between the last record and its own exit. */
	if (board_peek_manager(&loop.manager.board)->phase == BOARD_STOPPED)
		instance_tell_phase(&loop.manager);
	else
		loop_run(&loop);
	event_flush();
	return EXIT_SUCCESS;
}
