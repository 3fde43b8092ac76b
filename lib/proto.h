#pragma once
/*
 * Messages to PID 1: one SOCK_SEQPACKET packet each, fixed-size, from holdfast-boot and from the
 * supervisor over a channel of their own (STORE_CHANNEL). A packet of another size, kind or number
 * of fds than its row of the receiver's table says ends the sender. Nobody waits for an answer:
 * there are none.
 */
#include <stdint.h>

enum proto_type {
	PROTO_HELLO = 1,   /* the first packet: value is PROTO_VERSION; no fd */
	PROTO_PUT,	   /* one fd for the store under {kind, index} */
	PROTO_DROP,	   /* forget {kind, index} */
	PROTO_BOOTED,	   /* boot: everything was put; value: the stop budget in µs */
	PROTO_FAILED,	   /* boot: value is the exit status; text says why */
	PROTO_FORMAT,	   /* boot: value is the enum log_format of holdfast's own lines */
	PROTO_UNITS,	   /* boot: value is how many units the plan is going to have */
	PROTO_FAILED_BOOT, /* boot: value is the enum failed_boot of lib/machine.h */
	PROTO_WATCHDOG, /* boot: value is the watchdog's timeout over the end, in seconds; 0: as it is */
	PROTO_TYPE_COUNT
};

#define PROTO_VERSION  1
#define PROTO_TEXT_MAX 1024

struct proto_packet {
	uint32_t type;
	uint32_t kind; /* enum store_kind */
	uint32_t index;
	uint32_t reserved;
	uint64_t value;
	char text[PROTO_TEXT_MAX]; /* ends with NUL; empty but for PROTO_FAILED */
};

/* Sends the packet with fd, or without one when fd is negative. Never blocks: 0, or -errno
 * (-EAGAIN: the queue is full). fd is borrowed. */
int proto_send(int channel, const struct proto_packet *packet, int fd);

/*
 * Receives one packet. 1 with *ret_fd owned by the caller (or -EBADF), 0 at the end of file,
 * -EAGAIN when there is none, -EBADMSG for one that is malformed (its fds are closed), or -errno.
 */
int proto_receive(int channel, struct proto_packet *ret_packet, int *ret_fd);
