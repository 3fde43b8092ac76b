/* TESTS: init/boot/address.c lib/str.c lib/fd.c lib/sys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init/boot/address.h"
#include "lib/cleanup.h"

static void test_accepts_and_names_the_port(void **state)
{
	static const struct {
		const char *text;
		int family;
		uint32_t loopback_port;
		bool is_wildcard;
	} rows[] = {
		{"9180", AF_INET6, 9180, true},
		{":9180", AF_INET6, 9180, true},
		{"127.0.0.1:80", AF_INET, 80, false},
		{"127.9.9.9:80", AF_INET, 80, false},
		{"0.0.0.0:65535", AF_INET, 65535, false},
		{"10.1.2.3:80", AF_INET, 0, false},
		{"[::1]:80", AF_INET6, 80, false},
		{"[::]:80", AF_INET6, 80, false},
		{"[fe80::1]:80", AF_INET6, 0, false},
		{"/run/x.sock", AF_UNIX, 0, false},
		{"@x", AF_UNIX, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct address address;
		assert_int_equal(address_parse(rows[i].text, &address), 0);
		assert_int_equal(address.any.sa_family, rows[i].family);
		assert_int_equal(address.is_wildcard, rows[i].is_wildcard);
		assert_int_equal(address_loopback_port(&address), rows[i].loopback_port);
	}
}

static void test_refuses(void **state)
{
	static const char *const rows[] = {
		"",
		":",
		":0",
		"65536",
		"host:80",
		"1.2.3.4",
		"1.2.3.4:",
		"1.2.3.4:x",
		"::1:80",
		"[::1]80",
		"[::1:80",
		"[]:80",
		"[1.2.3:80",
		"[:80",
		"/",
		"@",
		":+80",
		"1.2.3.4.5:80",
		"[::1]]:80",
		":80 ",
		"/run/a/path/that/is/longer/than/the/hundred/and/eight/bytes/that/the/kernel/gives/to/the/path/of/a/"
		"unix/socket",
	};
	struct address address;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		if (address_parse(rows[i], &address) != -EINVAL)
			fail_msg("accepted: %s", rows[i]);
	}
}

static void test_replaces_a_socket_and_nothing_else(void **state)
{
	char directory[] = "/tmp/holdfast-address-XXXXXX", path[64];
	struct address address;

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/s", directory);
	assert_int_equal(address_parse(path, &address), 0);
	int first = address_bind(&address, SOCK_STREAM);
	int second = address_bind(&address, SOCK_STREAM);
	assert_true(first >= 0 && second >= 0);
	(void)close(first);
	(void)close(second);
	assert_int_equal(unlink(path), 0);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	(void)fclose(file);
	assert_int_equal(address_bind(&address, SOCK_STREAM), -EEXIST);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void test_wildcard_takes_both_families(void **state)
{
	struct address address;
	struct sockaddr_in6 bound = {0};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(bound);
	int fd = -1;

	(void)state;
	/* Some port between these is free; which one does not matter. */
	for (int port = 20000; port < 20100 && fd < 0; port++) {
		char text[16];
		(void)snprintf(text, sizeof(text), ":%d", port);
		assert_int_equal(address_parse(text, &address), 0);
		fd = address_bind(&address, SOCK_STREAM);
	}
	assert_true(fd >= 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &size), 0);
	to.sin_port = bound.sin6_port;
	int client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
	(void)close(client);
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts_and_names_the_port),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_replaces_a_socket_and_nothing_else),
		cmocka_unit_test(test_wildcard_takes_both_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
