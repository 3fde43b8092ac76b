#pragma once
/*
 * What all interfaces have, by each protocol: one file of fixed records beside the resolv.conf that is
 * made of it. Each run of holdfast-lease is one change of it, and dhcpcd runs one at a time.
 *
 * It is as trustworthy as dhcpcd, whose user it belongs to: so it is read as a stranger's bytes.
 */
#include <stddef.h>

#include "network/lease.h"

#define LEASES_MAX 16

struct leases {
	size_t count;
	struct lease items[LEASES_MAX]; /* by interface and protocol, in that order */
};

/* An empty list when there is no file, or none that can be used. 0 or -errno. */
int leases_load(const char *path, struct leases *ret_leases);
/* In place of the file, for every reader at once. 0 or -errno. */
int leases_store(const char *path, const struct leases *leases);

/* 0, or -ENOSPC for one too many. */
int leases_apply(struct leases *leases, const struct lease_news *news);

/* All servers and domains, in the order of the list: IPv4's before IPv6's of one interface. */
void leases_merge(const struct leases *leases, struct resolvconf *ret_conf);
bool leases_satisfy(const struct leases *leases, enum lease_wait wait);
