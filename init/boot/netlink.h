#pragma once
/*
 * What a static network needs of rtnetlink(7), one acknowledged request each.
 */
#include <stdint.h>

#include "units/types.h"

struct netlink {
	int fd;
	uint32_t seq;
};

/* 0 or -errno. netlink_close takes one that was never opened (fd < 0), too. */
int netlink_open(struct netlink *netlink);
void netlink_close(struct netlink *netlink);

/* 0 or -errno (-ENODEV: there is no such interface). What is there already is no error. */
int netlink_set_up(struct netlink *netlink, uint32_t index);
int netlink_add_address(struct netlink *netlink, uint32_t index, const struct units_net *net);
/* index 0: the kernel finds the interface by the gateway. */
int netlink_add_route(struct netlink *netlink, const struct units_net *to,
		      const struct units_net *via, uint32_t index);

/* The interface's index as soon as there is one of that name, or 0 at the deadline (clock_now_us). */
uint32_t netlink_await(const char *interface, uint64_t deadline_us);
