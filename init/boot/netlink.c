#include "init/boot/netlink.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"

#define REPLY_TIMEOUT_S 5
#define ANSWER_MAX	8192

/* A request as it grows: the header of its kind, then attributes. */
struct request {
	struct nlmsghdr header;
	char body[256];
};

static struct request begin(uint16_t type, uint16_t flags, const void *body, size_t size)
{
	struct request request = {
		.header = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(size),
			   .nlmsg_type = type,
			   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)},
	};

	memcpy(request.body, body, size);
	return request;
}

/* Bodies and attributes of ours are multiples of four bytes, or the last of their kind, and few. */
static void add(struct request *request, uint16_t type, const void *data, size_t size)
{
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len) - NLMSG_HDRLEN;
	struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = type};

	memcpy(request->body + at, &attribute, sizeof(attribute));
	memcpy(request->body + at + RTA_LENGTH(0), data, size);
	request->header.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + at + RTA_LENGTH(size));
}

static size_t address_size(const struct units_net *net)
{
	return net->family == AF_INET ? 4 : 16;
}

int netlink_open(struct netlink *netlink)
{
	const struct timeval timeout = {.tv_sec = REPLY_TIMEOUT_S};

	*netlink =
		(struct netlink){.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
	if (netlink->fd < 0)
		return -errno;
	(void)setsockopt(netlink->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return 0;
}

void netlink_close(struct netlink *netlink)
{
	netlink->fd = fd_close(netlink->fd);
}

/* The kernel's answer to the request with that number. */
static int read_answer(const struct netlink *netlink)
{
	union {
		struct nlmsghdr header;
		char bytes[ANSWER_MAX];
	} answer;

	for (;;) {
		ssize_t n = recv(netlink->fd, &answer, sizeof(answer), 0);
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		size_t size = (size_t)n;
		for (struct nlmsghdr *m = &answer.header; NLMSG_OK(m, size);
		     m = NLMSG_NEXT(m, size)) {
			if (m->nlmsg_seq != netlink->seq || m->nlmsg_type != NLMSG_ERROR ||
			    m->nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr)))
				continue;
			return ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
		}
	}
}

static int ask(struct netlink *netlink, struct request *request)
{
	request->header.nlmsg_seq = ++netlink->seq;
	if (send(netlink->fd, request, request->header.nlmsg_len, 0) < 0)
		return -errno;
	int r = read_answer(netlink);
	return r == -EEXIST ? 0 : r;
}

int netlink_set_up(struct netlink *netlink, uint32_t index)
{
	const struct ifinfomsg info = {.ifi_family = AF_UNSPEC,
				       .ifi_index = (int)index,
				       .ifi_flags = IFF_UP,
				       .ifi_change = IFF_UP};
	struct request request = begin(RTM_NEWLINK, 0, &info, sizeof(info));

	return ask(netlink, &request);
}

int netlink_add_address(struct netlink *netlink, uint32_t index, const struct units_net *net)
{
	const struct ifaddrmsg info = {
		.ifa_family = net->family,
		.ifa_prefixlen = net->prefix,
		.ifa_index = index,
		/* Given by whoever planned the network: nothing is to be waited for. */
		.ifa_flags = net->family == AF_INET6 ? IFA_F_NODAD : 0,
	};
	struct request request = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));

	add(&request, IFA_LOCAL, net->bytes, address_size(net));
	add(&request, IFA_ADDRESS, net->bytes, address_size(net));
	return ask(netlink, &request);
}

int netlink_add_route(struct netlink *netlink, const struct units_net *to,
		      const struct units_net *via, uint32_t index)
{
	const struct rtmsg info = {
		.rtm_family = to->family,
		.rtm_dst_len = to->prefix,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	struct request request =
		begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));

	if (to->prefix > 0)
		add(&request, RTA_DST, to->bytes, address_size(to));
	add(&request, RTA_GATEWAY, via->bytes, address_size(via));
	if (index > 0)
		add(&request, RTA_OIF, &index, sizeof(index));
	return ask(netlink, &request);
}

/* Asked after the subscription, so that one that comes between is not missed. */
uint32_t netlink_await(const char *interface, uint64_t deadline_us)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	char news[ANSWER_MAX];

	CLEANUP(fd_closep)
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return if_nametoindex(interface);
	for (;;) {
		uint32_t index = if_nametoindex(interface);
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		if (index > 0 || clock_now_us() >= deadline_us)
			return index;
		if (poll(&poll_fd, 1, clock_poll_ms(deadline_us)) > 0)
			(void)recv(fd, news, sizeof(news), 0);
	}
}
