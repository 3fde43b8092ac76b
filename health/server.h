#pragma once
/*
 * The HTTP server: a fixed number of connections in static memory, one epoll loop.
 */
#include <stddef.h>
#include <stdint.h>

#include "health/answer.h"

#define SERVER_LISTENERS_MAX 16

struct server {
	struct site site;
	int listeners[SERVER_LISTENERS_MAX]; /* borrowed */
	size_t n_listeners;
	int epoll_fd;
};

/* Prepares the documents' memory and the loop: everything that needs more rights than serving.
 * The site's snapshot and live and the listeners are set. 0 or -errno. */
int server_init(struct server *server);

/* Serves until something breaks that cannot: -errno. */
int server_run(struct server *server);
