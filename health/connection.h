#pragma once
/*
 * A connection of the HTTP server: one of CONNECTIONS_MAX slots in static memory, from accept(2) to
 * close(2), with the bytes of its request and where its answer stands.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "health/document.h"
#include "health/http.h"
#include "health/live.h"

#define CONNECTIONS_MAX 128

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

/* By index, from 0 to CONNECTIONS_MAX - 1; and the index of one. */
struct connection *connection_at(size_t index);
size_t connection_index(const struct connection *connection);

/* A free slot, or NULL. */
struct connection *connection_find_free(void);
/* Whom to send away for a newcomer, or NULL where all wait for an answer of ours. */
struct connection *connection_find_victim(void);

/* Fills a free slot; fd is its own from here on. */
void connection_open(struct connection *connection, int fd, bool is_loopback);
void connection_close(struct connection *connection);

/* When it is given up, at the latest (CLOCK_BOOTTIME, as clock_now_us). */
void connection_set_deadline(struct connection *connection, uint64_t deadline_us);
void connection_set_timeout(struct connection *connection, uint64_t timeout_us);
/* Closes those whose time is up. A question that is out of time has to be settled before. */
void connection_expire_all(uint64_t now_us);
/* No deadline is before this, USEC_INFINITY when there is none; it may be too early. */
uint64_t connection_next_deadline(void);

/* Takes what has come: false when there is no more for now, or the connection is gone. */
bool connection_receive(struct connection *connection);
/* Reads a request from what has come: positive when it is whole, 0 when more has to come, or a negative HTTP
 * status with its reason: then nothing more of this connection can be understood. */
int connection_parse(struct connection *connection, const char **ret_reason);
/* Goes on with the answer that was laid out: false when the socket takes no more for now, or the
 * connection is gone. */
bool connection_send(struct connection *connection);
/* Throws away what still comes behind the answer. */
void connection_linger(struct connection *connection);

void connection_set_state(struct connection *connection, enum connection_state state);
/* How many are in CONNECTION_WAITING. */
size_t connection_count_waiting(void);
