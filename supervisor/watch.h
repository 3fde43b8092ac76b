#pragma once
/*
 * Socket activation: the sockets of a service that is down are in the poll set; the first
 * connection wants it up. While it runs its sockets are its own.
 */
#include <stdint.h>

struct manager;

/* Puts the unit's sockets into the poll set, or takes them out, as its state asks for. */
void watch_update(struct manager *manager, uint32_t unit);

/* A condition keeps the service down: whoever waits at its sockets would wake us again at once. So it is
 * looked at anew in a second, and by then the condition may hold. */
void watch_pause(struct manager *manager, uint32_t service);

/* The poll set says that a socket is readable: data as watch_update gave it. */
void watch_ready(struct manager *manager, uint64_t data);

/* epoll_data of a socket: this bit and the plan socket's index. */
#define WATCH_SOCKET (UINT64_C(1) << 32)
