#pragma once
/*
 * What dhcpcd says in the environment of its script (dhcpcd-run-hooks(8)), as far as it is of use: which
 * interface, by which protocol, whether there is an address, and who resolves names. dhcpcd itself sets
 * addresses and routes.
 *
 * Values are what a server on the network said. Of each the words that are what they should be are taken,
 * and the others are counted.
 */
#include <net/if.h>
#include <stdbool.h>

#include "lib/resolvconf.h"

#define LEASE_PROTOCOL_MAX 12

enum lease_change {
	LEASE_NONE, /* nothing that concerns us */
	LEASE_HAD,  /* this holds from now on */
	LEASE_LOST, /* what this interface had by this protocol is gone */
};

/* For which address a network counts as there: `env network_wait=` of dhcpcd.conf. */
enum lease_wait { LEASE_WAIT_IPV4, LEASE_WAIT_IPV6, LEASE_WAIT_ANY, LEASE_WAIT_ALL };

struct lease {
	char interface[IF_NAMESIZE];
	char protocol[LEASE_PROTOCOL_MAX]; /* dhcp, dhcp6, ra, … */
	bool has_ipv4, has_ipv6;	   /* an address for it */
	struct resolvconf dns;
};

struct lease_news {
	enum lease_change change;
	enum lease_wait wait;
	struct lease lease;
	char address[64];   /* the first one with its prefix, for people; empty: none */
	unsigned n_refused; /* words that were nothing of the kind, or for which there is no room */
};

/* 0; -EINVAL when there is no interface, protocol or reason that could be one, or for a wait that is
 * unknown. environment: NAME=VALUE, NULL-ended. */
int lease_read(char *const *environment, struct lease_news *ret_news);
