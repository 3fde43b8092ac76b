#pragma once
/*
 * The HTTP server: a fixed number of connections in static memory, one epoll loop.
 */
#include <stddef.h>
#include <stdint.h>

#include "health/document.h"
#include "health/live.h"
#include "health/snapshot.h"

#define SERVER_LISTENERS_MAX 16

struct server {
	struct snapshot snapshot;
	struct live live;
	struct document health, metrics, checks;
	int listeners[SERVER_LISTENERS_MAX]; /* borrowed */
	size_t n_listeners;
	int epoll_fd;
};

/* Prepares the documents' memory and the loop: everything that needs more rights than serving.
 * snapshot, live and listeners are set. 0 or -errno. */
int server_init(struct server *server);

/* Serves until something breaks that cannot: -errno. */
int server_run(struct server *server);
