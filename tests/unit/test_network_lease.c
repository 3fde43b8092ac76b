/* TESTS: network/lease.c network/leases.c lib/resolvconf.c lib/fd.c lib/io.c lib/str.c lib/sys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "network/lease.h"
#include "network/leases.h"

#define BOUND "reason=BOUND", "interface=eth0", "protocol=dhcp", "if_up=true", "if_down=false"

static struct lease_news news;

static int read_all(const char *const *environment)
{
	news = (struct lease_news){0};
	return lease_read((char *const *)(uintptr_t)environment, &news);
}

static void test_a_lease(void **state)
{
	static const char *const environment[] = {BOUND,
						  "new_ip_address=192.0.2.50",
						  "new_domain_name=one.example",
						  "new_domain_search=a.example b.example",
						  "new_domain_name_servers=192.0.2.53 192.0.2.54",
						  NULL};

	(void)state;
	assert_int_equal(read_all(environment), 0);
	assert_int_equal(news.change, LEASE_HAD);
	assert_true(news.lease.has_ipv4);
	assert_false(news.lease.has_ipv6);
	assert_string_equal(news.address, "192.0.2.50");
	assert_string_equal(news.lease.dns.servers[1], "192.0.2.54");
	assert_string_equal(news.lease.dns.servers[2], "");
	assert_string_equal(news.lease.dns.search[0], "a.example");
	assert_string_equal(news.lease.dns.search[1], "b.example");
	assert_string_equal(news.lease.dns.search[2], "");
	assert_int_equal(news.n_refused, 0);
}

static void test_router_advertisements(void **state)
{
	static const char *const environment[] = {"reason=ROUTERADVERT",
						  "interface=eth0",
						  "protocol=ra",
						  "if_up=false",
						  "if_down=true",
						  "nd1_addr1=2001:db8::5/64",
						  "nd1_rdnss1_servers=2001:db8::53",
						  "nd2_rdnss3_servers=fe80::1%eth0",
						  "nd1_dnssl1_search=six.example",
						  "ndx_rdnss_servers_=192.0.2.1",
						  NULL};

	(void)state;
	assert_int_equal(read_all(environment), 0);
	assert_int_equal(news.change, LEASE_HAD);
	assert_true(news.lease.has_ipv6);
	assert_string_equal(news.lease.dns.servers[0], "2001:db8::53");
	assert_string_equal(news.lease.dns.servers[1], "fe80::1%eth0");
	assert_string_equal(news.lease.dns.servers[2], "");
	assert_string_equal(news.lease.dns.search[0], "six.example");
}

static void test_words_of_strangers(void **state)
{
	static const char *const environment[] = {
		BOUND, "new_ip_address=192.0.2.50\n",
		"new_domain_search=a.example\nnameserver 6.6.6.6",
		"new_domain_name_servers=1.2.3.4\noptions 127.0.0.1 0x7f.1 :: fe80::1%e;x fe80::1% "
		"2001:db8::1%eth0 1.1.1.1 1.1.1.1 1.1.1.2",
		NULL};

	(void)state;
	assert_int_equal(read_all(environment), 0);
	assert_false(news.lease.has_ipv4);
	assert_string_equal(news.lease.dns.servers[0], "127.0.0.1");
	assert_string_equal(news.lease.dns.servers[1], "::");
	assert_string_equal(news.lease.dns.servers[2], "1.1.1.1");
	/* "a.example\nnameserver" is one word for dhcpcd, and none for us. */
	assert_string_equal(news.lease.dns.search[0], "6.6.6.6");
	assert_string_equal(news.lease.dns.search[1], "");
	assert_int_equal(news.n_refused, 7);
}

static void test_what_says_nothing(void **state)
{
	static const char *const no_reason[] = {"interface=eth0", "protocol=dhcp", NULL},
				 *const bad_interface[] = {"reason=BOUND", "protocol=dhcp",
							   "interface=../x", NULL},
				 *const long_interface[] = {"reason=BOUND", "protocol=dhcp",
							    "interface=abcdefghijklmnop", NULL},
				 *const bad_wait[] = {BOUND, "network_wait=never", NULL},
				 *const link[] = {"reason=CARRIER", "interface=eth0",
						  "protocol=link", "if_up=true", NULL},
				 *const lost[] = {"reason=EXPIRE", "interface=eth0",
						  "protocol=dhcp", "if_down=true", NULL};

	(void)state;
	assert_int_equal(read_all(no_reason), -EINVAL);
	assert_int_equal(read_all(bad_interface), -EINVAL);
	assert_int_equal(read_all(long_interface), -EINVAL);
	assert_int_equal(read_all(bad_wait), -EINVAL);
	assert_int_equal(read_all(link), 0);
	assert_int_equal(news.change, LEASE_NONE);
	assert_int_equal(read_all(lost), 0);
	assert_int_equal(news.change, LEASE_LOST);
}

/* ---- the file */

static char folder[] = "/tmp/holdfast-lease-XXXXXX";
static char leases_path[64], conf_path[64];

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(leases_path, sizeof(leases_path), "%s/leases", folder);
	(void)snprintf(conf_path, sizeof(conf_path), "%s/resolv.conf", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	(void)unlink(leases_path);
	(void)unlink(conf_path);
	return rmdir(folder);
}

static struct lease_news had(const char *interface, const char *protocol, const char *server)
{
	struct lease_news made = {.change = LEASE_HAD};

	(void)snprintf(made.lease.interface, sizeof(made.lease.interface), "%s", interface);
	(void)snprintf(made.lease.protocol, sizeof(made.lease.protocol), "%s", protocol);
	made.lease.has_ipv4 = strcmp(protocol, "dhcp") == 0;
	made.lease.has_ipv6 = !made.lease.has_ipv4;
	assert_true(resolvconf_add_server(&made.lease.dns, server));
	return made;
}

static void test_leases_of_all_interfaces(void **state)
{
	struct lease_news rows[] = {had("eth1", "dhcp", "192.0.2.3"), had("eth0", "ra", "::2"),
				    had("eth0", "dhcp", "192.0.2.1"),
				    had("eth0", "dhcp", "192.0.2.2")};
	struct leases leases;
	struct resolvconf conf;
	char text[256];

	(void)state;
	assert_int_equal(leases_load(leases_path, &leases), 0);
	assert_int_equal(leases.count, 0);
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_int_equal(leases_load(leases_path, &leases), 0);
		assert_int_equal(leases_apply(&leases, &rows[i]), 0);
		assert_int_equal(leases_store(leases_path, &leases), 0);
	}
	assert_int_equal(leases_load(leases_path, &leases), 0);
	assert_int_equal(leases.count, 3);
	assert_true(leases_satisfy(&leases, LEASE_WAIT_ALL));
	leases_merge(&leases, &conf);
	assert_int_equal(resolvconf_write(conf_path, &conf), 0);
	ssize_t n = io_read_file(AT_FDCWD, conf_path, text, sizeof(text));
	assert_true(n > 0);
	assert_string_equal(text, "nameserver 192.0.2.2\nnameserver ::2\nnameserver 192.0.2.3\n");
	rows[0].change = rows[3].change = LEASE_LOST;
	assert_int_equal(leases_apply(&leases, &rows[0]), 0);
	assert_int_equal(leases_apply(&leases, &rows[3]), 0);
	assert_int_equal(leases.count, 1);
	assert_false(leases_satisfy(&leases, LEASE_WAIT_IPV4));
	assert_true(leases_satisfy(&leases, LEASE_WAIT_ANY));
	assert_true(leases_satisfy(&leases, LEASE_WAIT_IPV6));
}

static void test_one_too_many(void **state)
{
	struct leases leases = {0};

	(void)state;
	for (int i = 0; i <= LEASES_MAX; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "eth%d", i);
		struct lease_news one = had(name, "dhcp", "192.0.2.1");
		assert_int_equal(leases_apply(&leases, &one), i < LEASES_MAX ? 0 : -ENOSPC);
	}
}

/* It is dhcpcd's user's: what is no such file is an empty list. */
static void test_a_file_that_was_tampered_with(void **state)
{
	struct lease_news one = had("eth0", "dhcp", "192.0.2.1");
	struct leases leases = {0};

	(void)state;
	assert_int_equal(leases_apply(&leases, &one), 0);
	memset(leases.items[0].dns.servers[1], 'x', sizeof(leases.items[0].dns.servers[1]));
	assert_int_equal(leases_store(leases_path, &leases), 0);
	assert_int_equal(leases_load(leases_path, &leases), 0);
	assert_int_equal(leases.count, 0);
	assert_int_equal(truncate(leases_path, sizeof(struct lease) - 1), 0);
	assert_int_equal(leases_load(leases_path, &leases), 0);
	assert_int_equal(leases.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_lease),
		cmocka_unit_test(test_router_advertisements),
		cmocka_unit_test(test_words_of_strangers),
		cmocka_unit_test(test_what_says_nothing),
		cmocka_unit_test(test_leases_of_all_interfaces),
		cmocka_unit_test(test_one_too_many),
		cmocka_unit_test(test_a_file_that_was_tampered_with),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
