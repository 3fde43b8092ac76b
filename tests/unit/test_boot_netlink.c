/*
 * TESTS: init/boot/netlink.c lib/fd.c lib/sys.c lib/clock.c lib/str.c
 *
 * In a network namespace of its own, with a pair of virtual interfaces made by ip(8), which also says
 * what came of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/boot/netlink.h"
#include "lib/clock.h"

#define ENOUGH_US (30 * USEC_PER_SEC)

static struct netlink netlink;

static struct units_net net(const char *address, uint8_t prefix)
{
	struct units_net made = {.family = strchr(address, ':') ? AF_INET6 : AF_INET,
				 .prefix = prefix};

	assert_int_equal(inet_pton(made.family, address, made.bytes), 1);
	return made;
}

static void assert_says(const char *command, const char *expected)
{
	char text[4096];
	FILE *out = popen(command, "r");

	assert_non_null(out);
	size_t n = fread(text, 1, sizeof(text) - 1, out);
	text[n] = '\0';
	assert_int_equal(pclose(out), 0);
	if (!strstr(text, expected))
		fail_msg("%s: no \"%s\" in: %s", command, expected, text);
}

static int set_up(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -1;
	return netlink_open(&netlink);
}

static int tear_down(void **state)
{
	(void)state;
	netlink_close(&netlink);
	return 0;
}

static void test_loopback_comes_up(void **state)
{
	(void)state;
	assert_int_equal(netlink_set_up(&netlink, if_nametoindex("lo")), 0);
	assert_says("ip addr show lo", "127.0.0.1/8");
	assert_int_equal(netlink_set_up(&netlink, if_nametoindex("lo")), 0);
}

static void test_an_interface_that_comes_later_is_waited_for(void **state)
{
	(void)state;
	assert_int_equal(netlink_await("v0", clock_now_us()), 0);
	pid_t pid = fork();
	if (pid == 0) {
		(void)execlp("ip", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1",
			     NULL);
		_exit(127);
	}
	assert_int_not_equal(netlink_await("v0", clock_now_us() + ENOUGH_US), 0);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_addresses_and_routes(void **state)
{
	const struct units_net address = net("192.0.2.10", 24), address6 = net("2001:db8::10", 64);
	const struct units_net gateway = net("192.0.2.1", 32), gateway6 = net("fe80::1", 128);
	const struct units_net all = {.family = AF_INET}, some6 = net("2001:db8:1::", 48);
	uint32_t index = if_nametoindex("v0");

	(void)state;
	assert_int_equal(netlink_set_up(&netlink, index), 0);
	assert_int_equal(netlink_set_up(&netlink, if_nametoindex("v1")), 0);
	assert_int_equal(netlink_add_address(&netlink, index, &address), 0);
	assert_int_equal(netlink_add_address(&netlink, index, &address), 0);
	assert_int_equal(netlink_add_address(&netlink, index, &address6), 0);
	assert_says("ip addr show v0", "192.0.2.10/24");
	assert_says("ip addr show v0", "2001:db8::10/64");
	assert_int_equal(netlink_add_route(&netlink, &all, &gateway, 0), 0);
	assert_int_equal(netlink_add_route(&netlink, &all, &gateway, 0), 0);
	assert_int_equal(netlink_add_route(&netlink, &some6, &gateway6, index), 0);
	assert_says("ip route", "default via 192.0.2.1 dev v0");
	assert_says("ip -6 route", "2001:db8:1::/48 via fe80::1 dev v0");
}

static void test_what_cannot_be_is_an_error(void **state)
{
	const struct units_net address = net("192.0.2.11", 24), gateway = net("203.0.113.1", 32);
	const struct units_net all = net("198.51.100.0", 24);

	(void)state;
	assert_int_equal(netlink_set_up(&netlink, 4242), -ENODEV);
	assert_int_equal(netlink_add_address(&netlink, 4242, &address), -ENODEV);
	assert_int_equal(netlink_add_route(&netlink, &all, &gateway, 0), -ENETUNREACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loopback_comes_up),
		cmocka_unit_test(test_an_interface_that_comes_later_is_waited_for),
		cmocka_unit_test(test_addresses_and_routes),
		cmocka_unit_test(test_what_cannot_be_is_an_error),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
