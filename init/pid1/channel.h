#pragma once
/*
 * The channel on which boot, and later each supervisor, hands fds to the store. It is the one place
 * where PID 1 takes in what another process made up, so what may be said, by whom, with an fd or
 * without, and of which kinds, is one const table; what is not in it ends the sender.
 *
 * Every supervisor gets a channel of its own: children that it forked and that have not yet
 * executed hold its end too, so an end of file says nothing about it, and an old one's packets must
 * not pass for its successor's.
 */
#include "init/pid1/instance.h"

/* Makes a pair: our end in in->channel, the other in the store for the next start. 0 or -errno. */
int channel_open(struct instance *in, enum role sender);

/* Takes what has come. 0, or -EBADMSG when the sender has said what it may not: it must go. */
int channel_read(struct instance *in);

/* Reads to the end, then closes both ends. As channel_read. */
int channel_close(struct instance *in);

/* Whether a packet with (has_fd) or without an fd is allowed next. Pure, for the tests. */
struct proto_packet;
bool channel_allows(const struct channel *channel, const struct proto_packet *packet, bool has_fd);
