/* TESTS: secrets/decode.c secrets/secmem.c lib/str.c lib/json.c lib/clock.c */
/* LDFLAGS: -lcjson -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "secrets/decode.h"
#include "secrets/secmem.h"

static void test_json_is_taken_strictly(void **state)
{
	static const char *const good[] = {
		"{}",
		"[]",
		" null ",
		"-0.5e+10",
		"\"\\u00e9\\ud83d\\ude00\\/\"",
		"{\"a\":{\"a\":1}}",
		"\"\xc3\xa9\"",
	};
	static const char *const bad[] = {
		"",
		"{",
		"{}x",
		"{} {}",
		"01",
		"1.",
		".5",
		"+1",
		"nul",
		"'a'",
		"\"\\x\"",
		"\"\\u00\"",
		"\"\\u0000\"",
		"\"\\ud800\"",
		"\"\\udc00\"",
		"\"\n\"",
		"\"\xff\"",
		"\"\xc0\x80\"",
		"[1,]",
		"{\"a\":1,}",
		"{a:1}",
		"{\"a\" 1}",
		"{\"a\":1,\"a\":2}",
		"[1 2]",
		"\"open",
		"{\"a\":1,\"\\u0061\":2}",
		"\"\\ud800\\u0041\"",
	};
	char deep[2 * DECODE_DEPTH_MAX + 3];

	(void)state;
	decode_init();
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(decode_check(good[i], strlen(good[i]), NULL));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (decode_check(bad[i], strlen(bad[i]), NULL))
			fail_msg("taken: %s", bad[i]);
	}
	assert_false(decode_check("1\0", 2, NULL));
	memset(deep, '[', DECODE_DEPTH_MAX);
	memset(deep + DECODE_DEPTH_MAX, ']', DECODE_DEPTH_MAX);
	assert_true(decode_check(deep, 2 * DECODE_DEPTH_MAX, NULL));
	memset(deep, '[', DECODE_DEPTH_MAX + 1);
	memset(deep + DECODE_DEPTH_MAX + 1, ']', DECODE_DEPTH_MAX + 1);
	assert_false(decode_check(deep, 2 * DECODE_DEPTH_MAX + 2, NULL));
}

static void check_find(const char *text, const char *const *path, const char *expected)
{
	struct decode_span span;
	size_t length;

	assert_true(decode_check(text, strlen(text), NULL));
	if (!expected) {
		assert_false(decode_find(text, strlen(text), path, &span));
		return;
	}
	assert_true(decode_find(text, strlen(text), path, &span));
	char *got = decode_text(&span, &length);
	assert_non_null(got);
	assert_string_equal(got, expected);
	assert_int_equal(length, strlen(expected));
	secmem_free(got);
}

static void test_values_are_what_stands_in_the_text(void **state)
{
	static const char text[] =
		" {\"n\": 12345678901234567890 , \"e\":1.10e3,\"o\":{\"N\":\"x\","
		"\"\\u006b\":\"a\\n\\u00e9\\ud83d\\ude00\"},\"l\":[ 1, 2],\"\":true} ";

	(void)state;
	check_find(text, (const char *const[]){"n", NULL}, "12345678901234567890");
	check_find(text, (const char *const[]){"e", NULL}, "1.10e3");
	check_find(text, (const char *const[]){"l", NULL}, "[ 1, 2]");
	check_find(text, (const char *const[]){"", NULL}, "true");
	check_find(text, (const char *const[]){"o", "k", NULL}, "a\n\xc3\xa9\xf0\x9f\x98\x80");
	check_find(text, (const char *const[]){"N", NULL}, NULL);
	check_find(text, (const char *const[]){"o", "n", NULL}, NULL);
	check_find(text, (const char *const[]){"n", "n", NULL}, NULL);
	check_find("{}", (const char *const[]){"a", NULL}, NULL);
	check_find("[1]", (const char *const[]){"a", NULL}, NULL);
}

static void test_base64(void **state)
{
	static const struct {
		const char *text, *value;
	} good[] = {{"", ""}, {"YQ==", "a"}, {"YWI=", "ab"}, {"YWJj", "abc"}};
	static const char *const bad[] = {
		"Y", "YQ", "YQ=", "Y===", "YQ==YQ==", "Y!==", "YWJj\n   "};
	size_t length;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char *got = decode_base64(good[i].text, strlen(good[i].text), &length);
		assert_non_null(got);
		assert_int_equal(length, strlen(good[i].value));
		assert_memory_equal(got, good[i].value, length);
		secmem_free(got);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *got = decode_base64(bad[i], strlen(bad[i]), &length);
		if (got)
			fail_msg("taken: %s", bad[i]);
	}
}

static void test_xml(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{"<a><K>x</K></a>", "x"}, {"<K>&lt;&amp;&#43;&#x2F;&quot;</K>", "<&+/\""},
		{"<K></K>", ""},	  {"<K>x", NULL},
		{"<K>&bogus;</K>", NULL}, {"<K>&#0;</K>", NULL},
		{"<K>&#-1;</K>", NULL},	  {"<K>&#99999999;</K>", NULL},
		{"<K>a&amp</K>", NULL},	  {"<K><L>x</L></K>", NULL},
		{"<KK>x</KK>", NULL},	  {"<K>12345678901234567</K>", NULL},
		{"</K><K>y</K>", "y"},
	};
	char got[17];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool is_found =
			decode_xml(cases[i].text, strlen(cases[i].text), "K", got, sizeof(got));
		if (is_found != (cases[i].expected != NULL))
			fail_msg("%s", cases[i].text);
		if (is_found)
			assert_string_equal(got, cases[i].expected);
	}
}

static void test_times(void **state)
{
	(void)state;
	assert_int_equal(decode_time("2015-08-30T12:36:00Z"), 1440938160);
	assert_int_equal(decode_time("2015-08-30T12:36:00.123Z"), 1440938160);
	assert_int_equal(decode_time("2015-08-30T12:36:00+00:00"), 1440938160);
	assert_int_equal(decode_time("2015-08-30T12:36:00"), 0);
	assert_int_equal(decode_time("2015-08-30"), 0);
	assert_int_equal(decode_time(""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_is_taken_strictly),
		cmocka_unit_test(test_values_are_what_stands_in_the_text),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_xml),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
