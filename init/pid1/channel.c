#include "init/pid1/channel.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "init/pid1/pack.h"
#include "init/pid1/watchdog.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/proto.h"

/* No sender has reason to fill the queue with more than this between two of our looks at it, and
 * signals and deaths must not wait for one that does. */
#define PACKETS_A_LOOK 64

#define INDEX_MAX 65536

#define BIT(kind) (UINT64_C(1) << (kind))
#define BOOT_PUTS                                                                                \
	(BIT(STORE_PLAN) | BIT(STORE_PLAN_PUBLIC) | BIT(STORE_BOARD) | BIT(STORE_BOARD_PUBLIC) | \
	 BIT(STORE_BOARD_FILE) | BIT(STORE_RING) | BIT(STORE_RING_PUBLIC) | BIT(STORE_CAPTURE) | \
	 BIT(STORE_NOTIFY) | BIT(STORE_LISTEN) | BIT(STORE_SOCKET) | BIT(STORE_SECRET_FILE) |    \
	 BIT(STORE_CREDENTIALS) | BIT(STORE_CGROUP) | BIT(STORE_FINGERPRINTS) |                  \
	 BIT(STORE_FINGERPRINTS_READ) | BIT(STORE_FINGERPRINT_KEY) | BIT(STORE_WATCHDOG) |       \
	 BIT(STORE_BUTTON) | BIT(STORE_GATE) | BIT(STORE_GATE_PUBLIC) | BIT(STORE_EXEC_GATE) |   \
	 BIT(STORE_ROOM) | BIT(STORE_AUDIT))
/* What the supervisor makes for the fetches of a unit. */
#define SUPERVISOR_PUTS                                                          \
	(BIT(STORE_SECRET) | BIT(STORE_SECRET_OTHER) | BIT(STORE_SECRET_STATE) | \
	 BIT(STORE_SECRET_REPORT))

static int take_hello(struct instance *in, const struct proto_packet *packet, int fd);
static int take_put(struct instance *in, const struct proto_packet *packet, int fd);
static int take_drop(struct instance *in, const struct proto_packet *packet, int fd);
static int take_booted(struct instance *in, const struct proto_packet *packet, int fd);
static int take_format(struct instance *in, const struct proto_packet *packet, int fd);
static int take_units(struct instance *in, const struct proto_packet *packet, int fd);
static int take_failed_boot(struct instance *in, const struct proto_packet *packet, int fd);
static int take_watchdog(struct instance *in, const struct proto_packet *packet, int fd);
static int take_failed(struct instance *in, const struct proto_packet *packet, int fd);

static const struct rule {
	enum role sender;
	enum proto_type type;
	bool has_fd;
	uint64_t kinds; /* 0: kind and index must be 0 */
	uint64_t max_value;
	int (*take)(struct instance *in, const struct proto_packet *packet, int fd);
} rules[] = {
	{ROLE_BOOT, PROTO_HELLO, false, 0, PROTO_VERSION, take_hello},
	{ROLE_BOOT, PROTO_PUT, true, BOOT_PUTS, 0, take_put},
	{ROLE_BOOT, PROTO_BOOTED, false, 0, UINT64_MAX, take_booted},
	{ROLE_BOOT, PROTO_FORMAT, false, 0, LOG_FORMAT_COUNT - 1, take_format},
	{ROLE_BOOT, PROTO_UNITS, false, 0, PLAN_UNITS_MAX, take_units},
	{ROLE_BOOT, PROTO_FAILED_BOOT, false, 0, FAILED_COUNT - 1, take_failed_boot},
	{ROLE_BOOT, PROTO_WATCHDOG, false, 0, UINT16_MAX, take_watchdog},
	{ROLE_BOOT, PROTO_FAILED, false, 0, 255, take_failed},
	{ROLE_SUPERVISOR, PROTO_HELLO, false, 0, PROTO_VERSION, take_hello},
	{ROLE_SUPERVISOR, PROTO_PUT, true, SUPERVISOR_PUTS, 0, take_put},
	{ROLE_SUPERVISOR, PROTO_DROP, false, SUPERVISOR_PUTS, 0, take_drop},
};

static bool kind_fits(const struct rule *rule, const struct proto_packet *packet)
{
	if (rule->kinds == 0)
		return packet->kind == 0 && packet->index == 0;
	return packet->kind < STORE_KIND_COUNT && (rule->kinds & BIT(packet->kind)) &&
	       packet->index < INDEX_MAX;
}

static const struct rule *find_rule(const struct channel *channel,
				    const struct proto_packet *packet, bool has_fd)
{
	/* HELLO comes first, and once; nothing comes after boot's last word. */
	if ((packet->type == PROTO_HELLO) == channel->has_greeted || channel->is_booted ||
	    channel->failed_status)
		return NULL;
	for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
		const struct rule *rule = &rules[i];
		if (rule->sender == channel->sender && rule->type == packet->type)
			return rule->has_fd == has_fd && kind_fits(rule, packet) &&
					       packet->value <= rule->max_value
				       ? rule
				       : NULL;
	}
	return NULL;
}

bool channel_allows(const struct channel *channel, const struct proto_packet *packet, bool has_fd)
{
	return find_rule(channel, packet, has_fd) != NULL;
}

static int take_hello(struct instance *in, const struct proto_packet *packet, int fd)
{
	(void)fd;
	in->channel.has_greeted = true;
	return packet->value == PROTO_VERSION ? 0 : -EBADMSG;
}

static int take_put(struct instance *in, const struct proto_packet *packet, int fd)
{
	return store_put(in->store, (enum store_kind)packet->kind, packet->index, fd);
}

static int take_drop(struct instance *in, const struct proto_packet *packet, int fd)
{
	(void)fd;
	store_drop(in->store, (enum store_kind)packet->kind, packet->index);
	return 0;
}

static int take_booted(struct instance *in, const struct proto_packet *packet, int fd)
{
	(void)fd;
	in->channel.is_booted = true;
	in->channel.budget_us = packet->value;
	return 0;
}

static int take_format(struct instance *in, const struct proto_packet *packet, int fd)
{
	(void)fd;
	in->event_format = (enum event_format)packet->value;
	event_init("holdfast", in->event_format);
	return 0;
}

static int take_units(struct instance *in, const struct proto_packet *packet, int fd)
{
	(void)fd;
	pack_units(in, (uint32_t)packet->value);
	return 0;
}

static int take_failed_boot(struct instance *in, const struct proto_packet *packet, int fd)
{
	(void)fd;
	in->failed_boot = (enum failed_boot)packet->value;
	return 0;
}

static int take_watchdog(struct instance *in, const struct proto_packet *packet, int fd)
{
	(void)fd;
	watchdog_start(in, (uint32_t)packet->value);
	return 0;
}

static int take_failed(struct instance *in, const struct proto_packet *packet, int fd)
{
	(void)fd;
	in->channel.failed_status = packet->value ? (int)packet->value : 70;
	event_with_i64("status", in->channel.failed_status);
	event_emit(EVENT_ERROR, "boot-failed", NULL, "%s", packet->text);
	(void)snprintf(in->cause, sizeof(in->cause), "%s", packet->text);
	return 0;
}

int channel_open(struct instance *in, enum role sender)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	in->channel = (struct channel){.fd = pair[0], .sender = sender};
	return store_put(in->store, STORE_CHANNEL, 0, pair[1]);
}

static int take_packet(struct instance *in)
{
	struct proto_packet packet;
	CLEANUP(fd_closep) int fd = -EBADF;

	int r = proto_receive(in->channel.fd, &packet, &fd);
	if (r <= 0)
		return r == 0 ? -EPIPE : r;
	const struct rule *rule = find_rule(&in->channel, &packet, fd >= 0);
	if (!rule) {
		event_with_i64("type", packet.type);
		event_with_i64("kind", packet.kind);
		event_emit(EVENT_ERROR, "bad-packet", NULL,
			   "%s sent a packet that its table does not allow now",
			   role_programs[in->channel.sender]);
		return -EBADMSG;
	}
	return rule->take(in, &packet, rule->has_fd ? fd_steal(&fd) : -EBADF) < 0 ? -EBADMSG : 0;
}

int channel_read(struct instance *in)
{
	int r = 0;

	for (int i = 0; i < PACKETS_A_LOOK && r == 0 && in->channel.fd >= 0; i++)
		r = take_packet(in);
	if (r == -EBADMSG)
		return r;
	/* Without a sender there is nothing more to wait for; its death comes by SIGCHLD. */
	if (r < 0 && r != -EAGAIN)
		in->channel.fd = fd_close(in->channel.fd);
	return 0;
}

int channel_close(struct instance *in)
{
	int r = 0;

	store_drop(in->store, STORE_CHANNEL, 0);
	/* What was sent before a death counts. Nobody but a child on its way to exec still holds
	 * the other end, so this ends. */
	while (r == 0 && in->channel.fd >= 0) {
		r = take_packet(in);
	}
	in->channel.fd = fd_close(in->channel.fd);
	return r == -EBADMSG ? r : 0;
}
