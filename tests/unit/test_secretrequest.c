/* TESTS: lib/secretrequest.c lib/str.c lib/plan.c lib/store.c lib/fd.c lib/sys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/secretrequest.h"

static const struct secretrequest_head head = {
	.unit = "web.service",
	.uid = 990,
	.operation = SECRETS_REFRESH,
	.deadline_ms = 1500,
	.state_fd = 11,
	.report_fd = 12,
	.old_fd = -1,
	.lines = EVENT_PLAIN,
};

static size_t encode(char *data, size_t size, int n_items)
{
	struct strbuf buf;
	struct secretrequest_item items[] = {
		{"A", "file:/run/a", SECRET_ENVIRONMENT, 0, 0, 7},
		{"tls.key", "cred:tls", SECRET_FILE, SECRET_OPTIONAL, 0440, -1},
	};

	strbuf_init(&buf, data, size);
	secretrequest_begin(&buf, &head);
	secretrequest_setting(&buf, "AWS_REGION=eu-central-1");
	secretrequest_setting(&buf, "AWS_REGIONS=");
	for (int i = 0; i < n_items; i++)
		secretrequest_add(&buf, &items[i % 2]);
	assert_int_equal(secretrequest_end(&buf), 0);
	return buf.length;
}

static void test_a_request_comes_back(void **state)
{
	char data[512] __attribute__((aligned(8)));
	struct secretrequest request;
	struct secretrequest_item item;
	size_t cursor = 0;

	(void)state;
	assert_int_equal(secretrequest_open(data, encode(data, sizeof(data), 2), &request), 0);
	assert_string_equal(request.head.unit, "web.service");
	assert_int_equal(request.head.uid, 990);
	assert_int_equal(request.head.operation, SECRETS_REFRESH);
	assert_int_equal(request.head.deadline_ms, 1500);
	assert_int_equal(request.head.state_fd, 11);
	assert_int_equal(request.head.report_fd, 12);
	assert_int_equal(request.head.old_fd, -1);
	assert_int_equal(request.head.lines, EVENT_PLAIN);
	assert_string_equal(secretrequest_find_setting(&request, "AWS_REGION"), "eu-central-1");
	assert_string_equal(secretrequest_find_setting(&request, "AWS_REGIONS"), "");
	assert_null(secretrequest_find_setting(&request, "AWS_REG"));
	assert_true(secretrequest_next(&request, &cursor, &item));
	assert_string_equal(item.name, "A");
	assert_string_equal(item.reference, "file:/run/a");
	assert_int_equal(item.fd, 7);
	assert_true(secretrequest_next(&request, &cursor, &item));
	assert_string_equal(item.reference, "cred:tls");
	assert_int_equal(item.mode, 0440);
	assert_int_equal(item.flags, SECRET_OPTIONAL);
	assert_int_equal(item.fd, -1);
	assert_false(secretrequest_next(&request, &cursor, &item));
}

static void test_a_cut_request_is_refused(void **state)
{
	char data[512];
	size_t length = encode(data, sizeof(data), 3);

	(void)state;
	for (size_t cut = 0; cut < length; cut++) {
		struct secretrequest request;
		char *copy = malloc(cut ? cut : 1);
		memcpy(copy, data, cut);
		assert_int_equal(secretrequest_open(copy, cut, &request), -EBADMSG);
		free(copy);
	}
}

static void test_too_many_items_are_refused(void **state)
{
	char *data = malloc(SECRETREQUEST_MAX + 1);
	struct strbuf buf;
	struct secretrequest_item item = {"A", "env:A", SECRET_ENVIRONMENT, 0, 0, -1};

	(void)state;
	strbuf_init(&buf, data, SECRETREQUEST_MAX + 1);
	secretrequest_begin(&buf, &head);
	for (int i = 0; i <= SECRETREQUEST_ITEMS_MAX; i++)
		secretrequest_add(&buf, &item);
	assert_int_equal(secretrequest_end(&buf), -E2BIG);
	strbuf_init(&buf, data, 100);
	secretrequest_begin(&buf, &head);
	for (int i = 0; i < 10; i++)
		secretrequest_add(&buf, &item);
	assert_int_equal(secretrequest_end(&buf), -E2BIG);
	free(data);
}

static void test_settings_are_bounded_and_name_something(void **state)
{
	char data[SECRETREQUEST_SETTINGS_MAX * 16 + 256];
	struct secretrequest request;
	struct strbuf buf;

	(void)state;
	strbuf_init(&buf, data, sizeof(data));
	secretrequest_begin(&buf, &head);
	for (int i = 0; i <= SECRETREQUEST_SETTINGS_MAX; i++)
		secretrequest_setting(&buf, "A=b");
	assert_int_equal(secretrequest_end(&buf), -E2BIG);
	for (const char *const *bad = (const char *const[]){"A", "=b", "", NULL}; *bad; bad++) {
		secretrequest_begin(&buf, &head);
		secretrequest_setting(&buf, *bad);
		assert_int_equal(secretrequest_end(&buf), 0);
		assert_int_equal(secretrequest_open(data, buf.length, &request), -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_comes_back),
		cmocka_unit_test(test_a_cut_request_is_refused),
		cmocka_unit_test(test_too_many_items_are_refused),
		cmocka_unit_test(test_settings_are_bounded_and_name_something),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
