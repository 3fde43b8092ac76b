/*
 * A host's network as [Network] has it: loopback always, then static addresses and routes. Whatever
 * asks a network for its address (DHCP, SLAAC) is a daemon of the distribution, run as a unit; it
 * finds its interface as the kernel left it.
 *
 * An interface may come later than we do, since its driver is still probing: it is waited for by the
 * kernel's own news, with an end. What cannot be set up ends the boot: nothing that the image says is
 * needed is left out.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "init/boot/netlink.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/resolvconf.h"

#define RESOLV_CONF "/run/resolv.conf"
/* Where a unit that asks a network writes it (network/main.c), below /run. */
#define RESOLV_CONF_OF_UNIT  "network/resolv.conf"
#define INTERFACE_TIMEOUT_US (20 * USEC_PER_SEC)

static int fail(struct boot *boot, const char *what, const char *which, int error)
{
	return boot_fail(boot, EX_UNAVAILABLE, "[Network]: cannot %s %s: %s", what, which,
			 strerror(-error));
}

static int set_up(struct boot *boot, struct netlink *netlink, const char *interface,
		  uint32_t *ret_index)
{
	uint32_t index = netlink_await(interface, clock_now_us() + INTERFACE_TIMEOUT_US);

	if (index == 0)
		return boot_fail(boot, EX_UNAVAILABLE,
				 "[Network]: there is no interface %s: is its driver in the image?",
				 interface);
	int r = netlink_set_up(netlink, index);
	if (r < 0)
		return fail(boot, "bring up", interface, r);
	*ret_index = index;
	return 0;
}

static int add_addresses(struct boot *boot, struct netlink *netlink,
			 const struct units_network *network)
{
	for (size_t i = 0; i < network->n_addresses; i++) {
		const struct units_address *address = &network->addresses[i];
		uint32_t index = 0;
		int status = set_up(boot, netlink, address->interface, &index);
		if (status != 0)
			return status;
		int r = netlink_add_address(netlink, index, &address->net);
		if (r < 0)
			return fail(boot, "give an address to", address->interface, r);
	}
	return 0;
}

static int add_routes(struct boot *boot, struct netlink *netlink,
		      const struct units_network *network)
{
	for (size_t i = 0; i < network->n_routes; i++) {
		const struct units_route *route = &network->routes[i];
		uint32_t index = 0;
		int status = route->interface ? set_up(boot, netlink, route->interface, &index) : 0;
		if (status != 0)
			return status;
		int r = netlink_add_route(netlink, &route->to, &route->via, index);
		if (r < 0)
			return fail(boot, "add the route", route->text, r);
	}
	return 0;
}

/* On memory, where the image's /etc/resolv.conf is to point. What the image does not say itself is left
 * to whoever asks the network. */
static int write_resolv_conf(struct boot *boot, const struct units_network *network)
{
	struct resolvconf conf = {0};
	int r = 0;

	for (const char *const *server = network->dns; *server; server++)
		(void)resolvconf_add_server(&conf, *server);
	for (const char *const *search = network->search; *search; search++)
		(void)resolvconf_add_domain(&conf, *search);
	if (conf.servers[0][0])
		r = resolvconf_write(RESOLV_CONF, &conf);
	else if (symlink(RESOLV_CONF_OF_UNIT, RESOLV_CONF) < 0 && errno != EEXIST)
		r = -errno;
	return r < 0 ? fail(boot, "write", RESOLV_CONF, r) : 0;
}

int network_start(struct boot *boot)
{
	const struct units_network *network = &units_conf(boot->units)->network;
	struct netlink netlink;
	uint32_t loopback = 0;

	if (!boot->is_host)
		return 0;
	int r = netlink_open(&netlink);
	if (r < 0)
		return boot_fail(boot, EX_OSERR, "rtnetlink: %s", strerror(-r));
	int status = set_up(boot, &netlink, "lo", &loopback);
	if (status == 0)
		status = add_addresses(boot, &netlink, network);
	if (status == 0)
		status = add_routes(boot, &netlink, network);
	netlink_close(&netlink);
	return status == 0 ? write_resolv_conf(boot, network) : status;
}
