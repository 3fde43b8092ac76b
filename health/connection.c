#include "health/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"

#define HEAD_TIMEOUT_US	  (5 * USEC_PER_SEC)
#define IDLE_TIMEOUT_US	  (30 * USEC_PER_SEC)
#define LINGER_TIMEOUT_US (1 * USEC_PER_SEC)

static struct connection connections[CONNECTIONS_MAX];
static char inputs[CONNECTIONS_MAX][HTTP_HEAD_MAX];
static size_t n_used, n_waiting;
/* It may be too early, then the search finds nothing. */
static uint64_t earliest_us = USEC_INFINITY;

struct connection *connection_at(size_t index)
{
	return &connections[index];
}

size_t connection_index(const struct connection *connection)
{
	return (size_t)(connection - connections);
}

static char *input_of(const struct connection *connection)
{
	return inputs[connection - connections];
}

/* ---- the life of a slot */

struct connection *connection_find_free(void)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		if (connections[i].state == CONNECTION_FREE)
			return &connections[i];
	}
	return NULL;
}

/* Lingering first, then readers, then writers; the soonest deadline of them. */
struct connection *connection_find_victim(void)
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

void connection_open(struct connection *connection, int fd, bool is_loopback)
{
	*connection = (struct connection){
		.fd = fd, .state = CONNECTION_READING, .is_loopback = is_loopback};
	n_used++;
	connection_set_timeout(connection, HEAD_TIMEOUT_US);
}

void connection_set_state(struct connection *connection, enum connection_state state)
{
	n_waiting -= connection->state == CONNECTION_WAITING;
	n_waiting += state == CONNECTION_WAITING;
	connection->state = state;
}

size_t connection_count_waiting(void)
{
	return n_waiting;
}

static void drop_rendering(struct connection *connection)
{
	if (connection->rendering)
		connection->rendering->users--;
	connection->rendering = NULL;
}

void connection_close(struct connection *connection)
{
	drop_rendering(connection);
	connection_set_state(connection, CONNECTION_FREE);
	connection->fd = fd_close(connection->fd);
	n_used--;
}

/* ---- deadlines */

void connection_set_deadline(struct connection *connection, uint64_t deadline_us)
{
	connection->deadline_us = deadline_us;
	earliest_us = MIN(earliest_us, deadline_us);
}

void connection_set_timeout(struct connection *connection, uint64_t timeout_us)
{
	connection_set_deadline(connection, clock_now_us() + timeout_us);
}

void connection_expire_all(uint64_t now_us)
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

uint64_t connection_next_deadline(void)
{
	return n_used > 0 ? earliest_us : USEC_INFINITY;
}

/* ---- what comes and goes */

bool connection_receive(struct connection *connection)
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
		connection_set_timeout(connection, HEAD_TIMEOUT_US);
	connection->length += (size_t)n;
	return true;
}

int connection_parse(struct connection *connection, const char **ret_reason)
{
	int r = http_parse(input_of(connection), connection->length, &connection->request,
			   ret_reason);

	if (r < 0)
		connection->request = (struct http_request){.method = HTTP_GET};
	connection->consumed = r < 0 ? connection->length : (size_t)r;
	return r;
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
		connection_set_state(connection, CONNECTION_LINGERING);
		connection_set_timeout(connection, LINGER_TIMEOUT_US);
		return;
	}
	connection->length -= connection->consumed;
	memmove(input_of(connection), input_of(connection) + connection->consumed,
		connection->length);
	connection_set_state(connection, CONNECTION_READING);
	connection_set_timeout(connection,
			       connection->length > 0 ? HEAD_TIMEOUT_US : IDLE_TIMEOUT_US);
}

bool connection_send(struct connection *connection)
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

void connection_linger(struct connection *connection)
{
	char waste[4096];
	ssize_t n = recv(connection->fd, waste, sizeof(waste), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		connection_close(connection);
}
