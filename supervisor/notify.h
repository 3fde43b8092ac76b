#pragma once
/*
 * What services say over $NOTIFY_SOCKET: sd_notify(3), "Well-known assignments".
 */
struct manager;

/* Applies every datagram that waits: peeks, applies, and only then consumes it, so that a death in
 * between applies it once more (each message may be repeated) and never loses it. */
void notify_drain(struct manager *manager, int socket);
