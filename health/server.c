#include "health/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "health/connection.h"
#include "lib/cleanup.h"
#include "lib/clock.h"

/*
 * What may be attacked here is availability, so every resource has a bound and a way to get it
 * back. A connection owns one of CONNECTIONS_MAX slots and a head of HTTP_HEAD_MAX bytes; a request
 * has HEAD_TIMEOUT_US from its first byte on, however slowly it drips; an answer has as long to be
 * taken. When all slots are in use, whoever has been unfinished the longest is sent away for the
 * newcomer. A new connection is read at once (the listener hands it over with its request:
 * TCP_DEFER_ACCEPT), so a probe that comes in one packet is answered before it could be in anyone's
 * way, however many slow clients hold the rest.
 *
 * Waiting for liveness holds a slot for at most LIVE_TIMEOUT_US. When all slots do that, accepting
 * pauses: the backlog keeps what comes.
 *
 * Nothing from a request ever stands in an answer, and while nobody asks there is no timer.
 */

#define RETRY_US    (100 * USEC_PER_MSEC)
#define EVENTS_MAX  64
#define ACCEPTS_MAX 64 /* a wake-up */

static bool is_accepting = true;
static uint64_t accept_again_us = USEC_INFINITY;

/* What epoll's data says: a listener, the answer eventfd, or a connection. */
#define TAG_LISTENER   (UINT64_C(1) << 32)
#define TAG_ANSWER     (UINT64_C(2) << 32)
#define TAG_CONNECTION (UINT64_C(3) << 32)
#define TAG_MASK       (~UINT64_C(0) << 32)

/* ---- a connection's work */

static void watch(struct server *server, struct connection *connection, uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = TAG_CONNECTION | connection_index(connection),
	};
	int op = connection->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (connection->is_watched && connection->interest == events)
		return;
	if (epoll_ctl(server->epoll_fd, op, connection->fd, &event) < 0) {
		connection_close(connection);
		return;
	}
	connection->is_watched = true;
	connection->interest = events;
}

static void read_request(struct server *server, struct connection *connection)
{
	const char *reason = "";
	int r = connection_parse(connection, &reason);

	if (r < 0)
		answer_refusal(connection, -r, reason);
	else if (r > 0)
		answer_request(&server->site, connection);
}

/* Answers what stands in the input, one after the other, until more has to come or go. */
static void work(struct server *server, struct connection *connection)
{
	for (;;) {
		if (connection->state == CONNECTION_READING && connection->length > 0)
			read_request(server, connection);
		if (connection->state != CONNECTION_WRITING || !connection_send(connection))
			return;
	}
}

static void settle(struct server *server, struct connection *connection)
{
	static const uint32_t wanted[] = {
		[CONNECTION_LINGERING] = EPOLLIN,
		[CONNECTION_READING] = EPOLLIN,
		[CONNECTION_WRITING] = EPOLLOUT,
		[CONNECTION_WAITING] = 0,
	};

	if (connection->state != CONNECTION_FREE)
		watch(server, connection, wanted[connection->state]);
}

static void on_connection(struct server *server, struct connection *connection, uint32_t events)
{
	switch (connection->state) {
	case CONNECTION_FREE: /* closed earlier in the same round */ return;
	case CONNECTION_LINGERING: connection_linger(connection); break;
	case CONNECTION_READING:
		if (connection_receive(connection))
			work(server, connection);
		break;
	case CONNECTION_WRITING: work(server, connection); break;
	case CONNECTION_WAITING:
		if (events & (EPOLLERR | EPOLLHUP))
			connection_close(connection);
		break;
	}
	settle(server, connection);
}

/* ---- listeners */

static void pause_accepting(struct server *server, bool is_paused)
{
	for (size_t i = 0; i < server->n_listeners; i++) {
		struct epoll_event event = {.events = is_paused ? 0 : EPOLLIN,
					    .data.u64 = TAG_LISTENER | i};
		(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, server->listeners[i], &event);
	}
	is_accepting = !is_paused;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
	static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};

	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
		return (ntohl(v4->sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
	}
	if (address->ss_family != AF_INET6)
		return false;
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
	if (memcmp(v6->s6_addr, mapped, sizeof(mapped)) == 0)
		return v6->s6_addr[12] == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(v6);
}

/* False: nothing to accept, or nowhere to put it. */
static bool accept_one(struct server *server, int listener)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	struct connection *connection = connection_find_free();

	if (!connection && !connection_find_victim()) {
		pause_accepting(server, true);
		return false;
	}
	int fd =
		accept4(listener, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			pause_accepting(server, true);
			accept_again_us = clock_now_us() + RETRY_US;
			return false;
		}
		/* Whatever else accept(2) says is about a client that is gone. */
		return errno != EAGAIN;
	}
	if (!connection) {
		connection = connection_find_victim();
		connection_close(connection);
	}
	connection_open(connection, fd, is_loopback(&address));
	if (connection_receive(connection))
		work(server, connection);
	settle(server, connection);
	return true;
}

static void on_listener(struct server *server, int listener)
{
	for (int i = 0; i < ACCEPTS_MAX && accept_one(server, listener); i++)
		;
}

/* ---- the loop */

static void settle_question(struct server *server, struct connection *connection)
{
	answer_livez(&server->site, connection);
	work(server, connection);
	settle(server, connection);
}

static void look_for_answers(struct server *server, uint64_t now_us)
{
	for (size_t i = 0; connection_count_waiting() > 0 && i < CONNECTIONS_MAX; i++) {
		struct connection *c = connection_at(i);
		if (c->state == CONNECTION_WAITING &&
		    live_look(&server->site.live, &c->question, now_us))
			settle_question(server, c);
	}
}

static void resume_accepting(struct server *server, uint64_t now_us)
{
	bool is_due = accept_again_us == USEC_INFINITY
			      ? connection_find_free() || connection_find_victim()
			      : accept_again_us <= now_us;

	if (!is_due)
		return;
	accept_again_us = USEC_INFINITY;
	pause_accepting(server, false);
}

static void look_around(struct server *server, uint64_t now_us)
{
	look_for_answers(server, now_us);
	if (connection_next_deadline() <= now_us)
		connection_expire_all(now_us);
	if (!is_accepting)
		resume_accepting(server, now_us);
}

static uint64_t next_deadline(void)
{
	return MIN(accept_again_us, connection_next_deadline());
}

static void on_event(struct server *server, const struct epoll_event *event)
{
	uint32_t index = (uint32_t)event->data.u64;

	switch (event->data.u64 & TAG_MASK) {
	case TAG_LISTENER: on_listener(server, server->listeners[index]); break;
	case TAG_ANSWER: live_drain(&server->site.live); break;
	default: on_connection(server, connection_at(index), event->events); break;
	}
}

static int add_watch(const struct server *server, int fd, uint64_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};

	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int server_init(struct server *server)
{
	int r = site_init(&server->site);

	if (r < 0)
		return r;
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll_fd < 0)
		return -errno;
	for (size_t i = 0; r == 0 && i < server->n_listeners; i++)
		r = add_watch(server, server->listeners[i], TAG_LISTENER | i);
	/* Without it liveness is judged when its time is up. */
	if (r == 0 && server->site.live.answer_fd >= 0)
		r = add_watch(server, server->site.live.answer_fd, TAG_ANSWER);
	return r;
}

int server_run(struct server *server)
{
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(server->epoll_fd, events, EVENTS_MAX,
				   clock_poll_ms(next_deadline()));
		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++)
			on_event(server, &events[i]);
		look_around(server, clock_now_us());
	}
}
