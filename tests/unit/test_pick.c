/* TESTS: secrets/pick.c secrets/decode.c secrets/secmem.c lib/json.c lib/str.c lib/clock.c */
/* LDFLAGS: -lcjson -lcrypto */
/* User data of an instance: a JSON object, or lines KEY=VALUE. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/cleanup.h"
#include "secrets/decode.h"
#include "secrets/pick.h"
#include "secrets/secmem.h"

static void test_what_is_found(void **state)
{
	static const struct {
		const char *text, *expected; /* of APP_ENV; NULL: it is not there */
	} rows[] = {
		{"{\"APP_ENV\": \"prod\"}", "prod"},
		{"{\"a\": {\"APP_ENV\": \"x\"}, \"APP_ENV\": \"a\\u0062\"}", "ab"},
		{"{\"APP_ENV\": 7}", "7"},
		{"{\"OTHER\": \"APP_ENV=x\"}", NULL},
		{"[\"APP_ENV\"]", NULL},
		{"APP_ENV=prod", "prod"},
		{"#!/bin/sh\r\nX=1\r\n  APP_ENV = prod \r\nAPP_ENV=later\n", "prod"},
		{"APP_ENV=\"a b\"\n", "a b"},
		{"APP_ENV='a=b'\n", "a=b"},
		{"APP_ENV=\"a\n", "\"a"},
		{"APP_ENV=\n", ""},
		{"APP_ENV2=x\nMY_APP_ENV=x\nAPP_ENV\n", NULL},
		{"", NULL},
		{"\n\n=\n", NULL},
	};

	(void)state;
	decode_init();
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		size_t length = 0;
		char *value = pick_value(rows[i].text, strlen(rows[i].text), "APP_ENV", &length);
		if (!rows[i].expected) {
			assert_null(value);
			continue;
		}
		assert_non_null(value);
		assert_string_equal(value, rows[i].expected);
		assert_int_equal(length, strlen(rows[i].expected));
		secmem_free(value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_found)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
