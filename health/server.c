#include "health/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "health/http.h"
#include "health/metrics.h"
#include "health/render.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/str.h"

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

#define CONNECTIONS_MAX	  128
#define HEAD_TIMEOUT_US	  (5 * USEC_PER_SEC)
#define IDLE_TIMEOUT_US	  (30 * USEC_PER_SEC)
#define WRITE_TIMEOUT_US  (5 * USEC_PER_SEC)
#define LINGER_TIMEOUT_US (1 * USEC_PER_SEC)
#define RETRY_US	  (100 * USEC_PER_MSEC)
#define EVENTS_MAX	  64
#define ACCEPTS_MAX	  64   /* a wake-up */
#define REQUESTS_MAX	  1000 /* a connection */

enum connection_state {
	CONNECTION_FREE,
	CONNECTION_LINGERING, /* answered; what still comes is thrown away, so that no reset
				 overtakes the answer (RFC 9112, 9.6) */
	CONNECTION_READING,   /* a request, or between two of them */
	CONNECTION_WRITING,
	CONNECTION_WAITING, /* for the question of liveness */
};

struct connection {
	int fd;
	enum connection_state state;
	uint32_t interest; /* what epoll watches; valid when is_watched */
	bool is_watched, is_loopback;
	bool keep_alive, must_linger;
	unsigned n_requests;
	uint64_t deadline_us;

	size_t length;	 /* bytes in its input */
	size_t consumed; /* of them the request that is being answered */
	struct http_request request;
	struct live_question question; /* in CONNECTION_WAITING */

	char head[256];
	size_t head_length, body_length, sent;
	const char *body;
	struct rendering *rendering; /* that body lies in; NULL: a constant */
};

static struct connection connections[CONNECTIONS_MAX];
static char inputs[CONNECTIONS_MAX][HTTP_HEAD_MAX];
static size_t n_used, n_waiting;
static bool is_accepting = true;
static uint64_t accept_again_us = USEC_INFINITY;
/* No connection's deadline is before this; it may be too early, then the search finds nothing. */
static uint64_t earliest_us = USEC_INFINITY;

/* What epoll's data says: a listener, the answer eventfd, or a connection. */
#define TAG_LISTENER   (UINT64_C(1) << 32)
#define TAG_ANSWER     (UINT64_C(2) << 32)
#define TAG_CONNECTION (UINT64_C(3) << 32)
#define TAG_MASK       (~UINT64_C(0) << 32)

static char *input_of(const struct connection *connection)
{
	return inputs[connection - connections];
}

/* ---- the life of a slot */

static void drop_rendering(struct connection *connection)
{
	if (connection->rendering)
		connection->rendering->users--;
	connection->rendering = NULL;
}

static void connection_close(struct connection *connection)
{
	drop_rendering(connection);
	n_waiting -= connection->state == CONNECTION_WAITING;
	connection->fd = fd_close(connection->fd);
	connection->state = CONNECTION_FREE;
	n_used--;
}

static void set_deadline(struct connection *connection, uint64_t deadline_us)
{
	connection->deadline_us = deadline_us;
	earliest_us = MIN(earliest_us, deadline_us);
}

static void set_timeout(struct connection *connection, uint64_t timeout_us)
{
	set_deadline(connection, clock_now_us() + timeout_us);
}

static void watch(struct server *server, struct connection *connection, uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = TAG_CONNECTION | (uint64_t)(connection - connections),
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

static void pause_accepting(struct server *server, bool is_paused)
{
	for (size_t i = 0; i < server->n_listeners; i++) {
		struct epoll_event event = {.events = is_paused ? 0 : EPOLLIN,
					    .data.u64 = TAG_LISTENER | i};
		(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, server->listeners[i], &event);
	}
	is_accepting = !is_paused;
}

/* Whom to send away: lingering first, then readers, then writers; the soonest deadline of them. */
static struct connection *find_victim(void)
{
	struct connection *victim = NULL;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *c = &connections[i];
		if (c->state == CONNECTION_FREE || c->state == CONNECTION_WAITING)
			continue;
		if (!victim || c->state < victim->state ||
		    (c->state == victim->state && c->deadline_us < victim->deadline_us))
			victim = c;
	}
	return victim;
}

static struct connection *find_free(void)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (connections[i].state == CONNECTION_FREE)
			return &connections[i];
	}
	return NULL;
}

/* ---- answers */

struct answer {
	int status;
	const char *type;
	const char *body;
	size_t length;
	struct rendering *rendering;
};

static const char text_type[] = "text/plain; charset=utf-8";

static const char *status_line(int status)
{
	static const struct {
		int status;
		const char *line;
	} lines[] = {
		{200, "HTTP/1.1 200 OK\r\n"},
		{503, "HTTP/1.1 503 Service Unavailable\r\n"},
		{400, "HTTP/1.1 400 Bad Request\r\n"},
		{404, "HTTP/1.1 404 Not Found\r\n"},
		{405, "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n"},
		{413, "HTTP/1.1 413 Content Too Large\r\n"},
		{414, "HTTP/1.1 414 URI Too Long\r\n"},
		{431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
		{505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		if (lines[i].status == status)
			return lines[i].line;
	}
	return "HTTP/1.1 500 Internal Server Error\r\n";
}

/* printf would be a tenth of the whole cost of an answer. */
static void add_number(struct strbuf *buf, size_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	strbuf_add(buf, digits + at, sizeof(digits) - at);
}

/* Lays the answer out; it is sent by work. */
static void respond(struct connection *connection, const struct answer *answer)
{
	struct strbuf head;

	strbuf_init(&head, connection->head, sizeof(connection->head));
	strbuf_adds(&head, status_line(answer->status));
	strbuf_adds(&head, "Content-Type: ");
	strbuf_adds(&head, answer->type);
	strbuf_adds(&head, "\r\nContent-Length: ");
	add_number(&head, answer->length);
	strbuf_adds(&head, "\r\nCache-Control: no-store\r\nConnection: ");
	strbuf_adds(&head, connection->keep_alive ? "keep-alive\r\n\r\n" : "close\r\n\r\n");
	connection->head_length = head.length;
	connection->body = answer->body;
	connection->body_length = connection->request.method == HTTP_HEAD ? 0 : answer->length;
	connection->sent = 0;
	connection->rendering = answer->rendering;
	if (connection->rendering)
		connection->rendering->users++;
	connection->state = CONNECTION_WRITING;
	set_timeout(connection, WRITE_TIMEOUT_US);
}

static void respond_text(struct connection *connection, int status, const char *body)
{
	respond(connection,
		&(struct answer){
			.status = status, .type = text_type, .body = body, .length = strlen(body)});
}

static void respond_rendering(struct connection *connection, int status, const char *type,
			      struct rendering *rendering)
{
	/* The bounds say that this cannot be; a cut document would be a lie. */
	if (rendering->buf.is_cut) {
		respond_text(connection, 500, "the answer outgrew its bound\n");
		return;
	}
	respond(connection, &(struct answer){.status = status,
					     .type = type,
					     .body = rendering->buf.data,
					     .length = rendering->buf.length,
					     .rendering = rendering});
}

/* Nothing more of this connection can be understood: answer, and hear it out. */
static void refuse(struct connection *connection, int status, const char *reason)
{
	connection->keep_alive = false;
	connection->must_linger = true;
	respond_text(connection, status, reason);
}

/* An emptied buffer. Who still sends from it has been reading for two renderings. */
static struct strbuf *begin(struct document *document)
{
	struct rendering *rendering = document_spare(document);

	for (size_t i = 0; rendering->users > 0 && i < CONNECTIONS_MAX; i++) {
		if (connections[i].rendering == rendering)
			connection_close(&connections[i]);
	}
	strbuf_reset(&rendering->buf);
	return &rendering->buf;
}

static struct rendering *published(struct document *document, const struct snapshot_key *key)
{
	document_publish(document, key);
	return &document->renderings[document->current];
}

/* ---- endpoints */

static bool may_see_details(const struct server *server, const struct connection *connection)
{
	uint32_t detail = server->snapshot.plan.header->health_detail;

	return detail == DETAIL_ALL || (detail == DETAIL_LOOPBACK && connection->is_loopback);
}

static void serve_health(struct server *server, struct connection *connection)
{
	static const char type[] = "application/health+json";
	static const char *const brief[HEALTH_STATUS_COUNT] = {
		"{\"status\":\"pass\"}\n",
		"{\"status\":\"warn\"}\n",
		"{\"status\":\"fail\"}\n",
	};
	enum health_status status = snapshot_verdict(&server->snapshot)->status;
	int code = status == HEALTH_FAIL ? 503 : 200;

	if (!may_see_details(server, connection)) {
		respond(connection, &(struct answer){.status = code,
						     .type = type,
						     .body = brief[status],
						     .length = strlen(brief[status])});
		return;
	}
	/* How much was logged does not show here. */
	struct snapshot_key key = snapshot_key(&server->snapshot);
	key.log_seq = key.log_emitted = 0;
	struct rendering *rendering = document_current(&server->health, &key);
	if (!rendering) {
		render_health(&server->snapshot, begin(&server->health));
		rendering = published(&server->health, &key);
	}
	respond_rendering(connection, code, type, rendering);
}

static void serve_metrics(struct server *server, struct connection *connection)
{
	struct snapshot_key key = snapshot_key(&server->snapshot);
	struct rendering *rendering = document_current(&server->metrics, &key);

	if (!rendering) {
		metrics_render(&server->snapshot, begin(&server->metrics));
		rendering = published(&server->metrics, &key);
	}
	respond_rendering(connection, 200, "text/plain; version=0.0.4; charset=utf-8", rendering);
}

/* A probe that passes says ok, or with ?verbose its list; one that fails always gives the list. */
static void respond_checks(struct server *server, struct connection *connection, bool is_ok)
{
	if (is_ok && !http_query_has(&connection->request, "verbose"))
		respond_text(connection, 200, "ok\n");
	else
		respond_rendering(connection, is_ok ? 200 : 503, text_type,
				  published(&server->checks, NULL));
}

static void serve_readyz(struct server *server, struct connection *connection)
{
	if (connection->request.query_length == 0 && snapshot_is_ready(&server->snapshot)) {
		respond_text(connection, 200, "ok\n");
		return;
	}
	bool is_ok = render_readyz(&server->snapshot, &connection->request,
				   may_see_details(server, connection), begin(&server->checks));
	respond_checks(server, connection, is_ok);
}

static void serve_startupz(struct server *server, struct connection *connection)
{
	bool is_ok =
		render_startupz(&server->snapshot, &connection->request, begin(&server->checks));

	respond_checks(server, connection, is_ok);
}

static void serve_livez(struct server *server, struct connection *connection)
{
	live_ask(&server->live, &connection->question);
	connection->state = CONNECTION_WAITING;
	n_waiting++;
	set_deadline(connection, connection->question.deadline_us);
}

static void dispatch(struct server *server, struct connection *connection)
{
	static const struct {
		const char *path;
		void (*serve)(struct server *server, struct connection *connection);
	} routes[] = {
		{"/livez", serve_livez},     {"/readyz", serve_readyz},
		{"/health", serve_health},   {"/startupz", serve_startupz},
		{"/metrics", serve_metrics},
	};
	const struct http_request *request = &connection->request;

	connection->keep_alive = request->keep_alive && !request->has_body &&
				 ++connection->n_requests < REQUESTS_MAX;
	connection->must_linger = request->has_body;
	if (request->method == HTTP_OTHER) {
		respond_text(connection, 405, "GET or HEAD was expected\n");
		return;
	}
	if (request->has_body) {
		respond_text(connection, 413, "a request without a body was expected\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
		if (http_path_is(request, routes[i].path)) {
			routes[i].serve(server, connection);
			return;
		}
	}
	respond_text(connection, 404,
		     "/health, /livez, /readyz, /startupz or /metrics was expected\n");
}

/* ---- a connection's work */

/* Takes what has come: false when there is no more for now, or the connection is gone. */
static bool receive(struct connection *connection)
{
	ssize_t n = recv(connection->fd, input_of(connection) + connection->length,
			 HTTP_HEAD_MAX - connection->length, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		connection_close(connection);
		return false;
	}
	/* The clock of a request starts with its first byte. */
	if (connection->length == 0)
		set_timeout(connection, HEAD_TIMEOUT_US);
	connection->length += (size_t)n;
	return true;
}

static void read_request(struct server *server, struct connection *connection)
{
	const char *reason = "";
	int r = http_parse(input_of(connection), connection->length, &connection->request, &reason);

	if (r == 0)
		return;
	if (r < 0) {
		connection->request = (struct http_request){.method = HTTP_GET};
		connection->consumed = connection->length;
		refuse(connection, -r, reason);
		return;
	}
	connection->consumed = (size_t)r;
	dispatch(server, connection);
}

/* The answer is out: close, hear out, or turn to the next request. */
static void finish_answer(struct connection *connection)
{
	drop_rendering(connection);
	if (!connection->keep_alive && !connection->must_linger) {
		connection_close(connection);
		return;
	}
	if (!connection->keep_alive) {
		(void)shutdown(connection->fd, SHUT_WR);
		connection->state = CONNECTION_LINGERING;
		set_timeout(connection, LINGER_TIMEOUT_US);
		return;
	}
	connection->length -= connection->consumed;
	memmove(input_of(connection), input_of(connection) + connection->consumed,
		connection->length);
	connection->state = CONNECTION_READING;
	set_timeout(connection, connection->length > 0 ? HEAD_TIMEOUT_US : IDLE_TIMEOUT_US);
}

/* False when the socket takes no more for now, or the connection is gone. */
static bool send_answer(struct connection *connection)
{
	size_t head_sent = MIN(connection->sent, connection->head_length);
	size_t body_sent = connection->sent - head_sent;
	struct iovec parts[] = {
		{connection->head + head_sent, connection->head_length - head_sent},
		{(void *)(uintptr_t)(connection->body + body_sent),
		 connection->body_length - body_sent},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = ARRAY_COUNT(parts)};
	ssize_t n = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) {
		connection_close(connection);
		return false;
	}
	connection->sent += (size_t)n;
	if (connection->sent < connection->head_length + connection->body_length)
		return true;
	finish_answer(connection);
	return connection->state != CONNECTION_FREE;
}

static void linger(struct connection *connection)
{
	char waste[4096];
	ssize_t n = recv(connection->fd, waste, sizeof(waste), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		connection_close(connection);
}

/* Answers what stands in the input, one after the other, until more has to come or go. */
static void work(struct server *server, struct connection *connection)
{
	for (;;) {
		if (connection->state == CONNECTION_READING && connection->length > 0)
			read_request(server, connection);
		if (connection->state != CONNECTION_WRITING || !send_answer(connection))
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
	case CONNECTION_LINGERING: linger(connection); break;
	case CONNECTION_READING:
		if (receive(connection))
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
	struct connection *connection = find_free();

	if (!connection && !find_victim()) {
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
		connection = find_victim();
		connection_close(connection);
	}
	*connection = (struct connection){
		.fd = fd,
		.state = CONNECTION_READING,
		.is_loopback = is_loopback(&address),
	};
	n_used++;
	set_timeout(connection, HEAD_TIMEOUT_US);
	if (receive(connection))
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

static void answer_livez(struct server *server, struct connection *connection)
{
	bool is_ok = render_livez(connection->question.init_answered,
				  connection->question.supervisor_answered, &connection->request,
				  begin(&server->checks));

	n_waiting--;
	respond_checks(server, connection, is_ok);
	work(server, connection);
	settle(server, connection);
}

static void look_for_answers(struct server *server, uint64_t now_us)
{
	for (size_t i = 0; n_waiting > 0 && i < CONNECTIONS_MAX; i++) {
		struct connection *c = &connections[i];
		if (c->state == CONNECTION_WAITING &&
		    live_look(&server->live, &c->question, now_us))
			answer_livez(server, c);
	}
}

/* A question that is out of time has been settled before this. */
static void expire_connections(uint64_t now_us)
{
	earliest_us = USEC_INFINITY;
	for (size_t i = 0; n_used > 0 && i < CONNECTIONS_MAX; i++) {
		struct connection *c = &connections[i];
		if (c->state == CONNECTION_FREE)
			continue;
		if (c->deadline_us <= now_us)
			connection_close(c);
		else
			earliest_us = MIN(earliest_us, c->deadline_us);
	}
}

static void resume_accepting(struct server *server, uint64_t now_us)
{
	bool is_due = accept_again_us == USEC_INFINITY ? find_free() || find_victim()
						       : accept_again_us <= now_us;

	if (!is_due)
		return;
	accept_again_us = USEC_INFINITY;
	pause_accepting(server, false);
}

static void look_around(struct server *server, uint64_t now_us)
{
	look_for_answers(server, now_us);
	if (earliest_us <= now_us)
		expire_connections(now_us);
	if (!is_accepting)
		resume_accepting(server, now_us);
}

static uint64_t next_deadline(void)
{
	return n_used > 0 ? MIN(accept_again_us, earliest_us) : accept_again_us;
}

static void on_event(struct server *server, const struct epoll_event *event)
{
	uint32_t index = (uint32_t)event->data.u64;

	switch (event->data.u64 & TAG_MASK) {
	case TAG_LISTENER: on_listener(server, server->listeners[index]); break;
	case TAG_ANSWER: live_drain(&server->live); break;
	default: on_connection(server, &connections[index], event->events); break;
	}
}

static int add_watch(const struct server *server, int fd, uint64_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};

	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int server_init(struct server *server)
{
	int r = document_init(&server->health, render_health_bound(&server->snapshot));

	if (r == 0)
		r = document_init(&server->metrics, metrics_bound(&server->snapshot));
	if (r == 0)
		r = document_init(&server->checks, render_checks_bound(&server->snapshot));
	if (r < 0)
		return r;
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll_fd < 0)
		return -errno;
	for (size_t i = 0; r == 0 && i < server->n_listeners; i++)
		r = add_watch(server, server->listeners[i], TAG_LISTENER | i);
	/* Without it liveness is judged when its time is up. */
	if (r == 0 && server->live.answer_fd >= 0)
		r = add_watch(server, server->live.answer_fd, TAG_ANSWER);
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
