/* TESTS: lib/str.c lib/json.c lib/clock.c */
/* Building text in bounded memory: strings, numbers, JSON, times. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/str.h"

/* A builder over a buffer with a guard behind it. */
struct guarded {
	char data[32];
	char guard[8];
};

static void guarded_init(struct guarded *g, struct strbuf *buf, size_t size)
{
	memset(g, 'G', sizeof(*g));
	strbuf_init(buf, g->data, size);
}

static void assert_guarded(const struct guarded *g, size_t size)
{
	for (const char *c = g->data + size; c < g->guard + sizeof(g->guard); c++)
		assert_int_equal(*c, 'G');
}

static void a_full_builder_cuts_and_says_so(void **state)
{
	(void)state;
	for (size_t size = 1; size <= 32; size++) {
		struct guarded g;
		struct strbuf buf;
		guarded_init(&g, &buf, size);
		strbuf_adds(&buf, "abc");
		strbuf_addf(&buf, "%d-%s", 1234, "long enough to overflow");
		strbuf_addc(&buf, '!');
		assert_int_equal(strlen(g.data), MIN(size - 1, 32));
		assert_int_equal(buf.length, strlen(g.data));
		assert_int_equal(buf.is_cut, size < 33);
		assert_guarded(&g, size);
	}
}

static void numbers_are_digits_in_range(void **state)
{
	static const struct {
		const char *text;
		uint64_t max, value;
		int error;
	} cases[] = {
		{"0", 10, 0, 0},
		{"10", 10, 10, 0},
		{"11", 10, 0, -ERANGE},
		{"", 10, 0, -EINVAL},
		{"-1", 10, 0, -EINVAL},
		{" 1", 10, 0, -EINVAL},
		{"1x", 10, 0, -EINVAL},
		{"18446744073709551615", UINT64_MAX, UINT64_MAX, 0},
		{"18446744073709551616", UINT64_MAX, 0, -ERANGE},
		{"99999999999999999999", UINT64_MAX, 0, -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 77;
		assert_int_equal(str_parse_u64(cases[i].text, cases[i].max, &value),
				 cases[i].error);
		/* An output is never touched on failure. */
		assert_true(value == (cases[i].error ? 77 : cases[i].value));
	}
}

static void words_that_say_yes_or_no(void **state)
{
	static const char *const yes[] = {"1", "yes", "y", "Y", "true", "True", "t", "on"};
	static const char *const no[] = {"0", "no", "n", "false", "FALSE", "f", "off"};
	static const char *const neither[] = {"", "2", "ye", "yes ", "maybe"};
	bool is_true;

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		is_true = false;
		assert_int_equal(str_parse_bool(yes[i], &is_true), 0);
		assert_true(is_true);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		is_true = true;
		assert_int_equal(str_parse_bool(no[i], &is_true), 0);
		assert_false(is_true);
	}
	for (size_t i = 0; i < sizeof(neither) / sizeof(neither[0]); i++)
		assert_int_equal(str_parse_bool(neither[i], &is_true), -EINVAL);
}

static void assert_json(const char *data, size_t length, const char *expected)
{
	char text[256];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	json_bytes(&buf, data, length);
	assert_string_equal(text, expected);
}

static void strings_are_escaped(void **state)
{
	(void)state;
	assert_json("a\"b\\c\n\t\r\x01\x7f", 10, "\"a\\\"b\\\\c\\n\\t\\r\\u0001\\u007f\"");
	assert_json("nul\0in", 6, "\"nul\\u0000in\"");
	assert_json("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9,
		    "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
	static const char *const bad[] = {
		"\x80",		    /* a continuation alone */
		"\xC0\xAF",	    /* overlong */
		"\xE0\x80\xAF",	    /* overlong */
		"\xED\xA0\x80",	    /* a surrogate */
		"\xF4\x90\x80\x80", /* beyond U+10FFFF */
		"\xE2\x82",	    /* cut */
		"\xFF",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char expected[64] = "\"";
		for (size_t k = 0; k < strlen(bad[i]); k++)
			(void)strcat(expected, "\xEF\xBF\xBD");
		(void)strcat(expected, "\"");
		assert_json(bad[i], strlen(bad[i]), expected);
	}
}

static void objects_have_their_commas(void **state)
{
	char text[256];
	struct strbuf buf;

	(void)state;
	strbuf_init(&buf, text, sizeof(text));
	json_object_begin(&buf);
	json_add_string(&buf, "a", "x{");
	json_add_u64(&buf, "b", 18446744073709551615U);
	json_key(&buf, "c");
	json_array_begin(&buf);
	json_comma(&buf);
	json_string(&buf, "[");
	json_comma(&buf);
	json_object_begin(&buf);
	json_object_end(&buf);
	json_array_end(&buf);
	json_add_bool(&buf, "d", false);
	json_add_i64(&buf, "e", INT64_MIN);
	json_object_end(&buf);
	assert_string_equal(text, "{\"a\":\"x{\",\"b\":18446744073709551615,\"c\":[\"[\",{}],"
				  "\"d\":false,\"e\":-9223372036854775808}");
}

static void times_are_rfc_3339(void **state)
{
	char text[64];
	struct strbuf buf;

	(void)state;
	strbuf_init(&buf, text, sizeof(text));
	clock_format(&buf, UINT64_C(951782400) * USEC_PER_SEC + 42);
	assert_string_equal(text, "2000-02-29T00:00:00.000042Z");
	strbuf_reset(&buf);
	clock_format(&buf, 0);
	assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
}

static void deadlines_saturate(void **state)
{
	(void)state;
	assert_true(clock_add_us(USEC_INFINITY, 1) == USEC_INFINITY);
	assert_true(clock_add_us(5, USEC_INFINITY) == USEC_INFINITY);
	assert_true(clock_add_us(2, 3) == 5);
	assert_int_equal(clock_poll_ms(USEC_INFINITY), -1);
	assert_int_equal(clock_poll_ms(0), 0);
	/* Rounded up: a timeout that is rounded down wakes early and spins. */
	assert_in_range(clock_poll_ms(clock_now_us() + 1500), 1, 2);
}

static void names_and_lists(void **state)
{
	static const char *const list[] = {"one", "two"};

	(void)state;
	assert_string_equal(str_base_name("/usr/bin/app"), "app");
	assert_string_equal(str_base_name("app"), "app");
	assert_string_equal(str_base_name("folder/"), "");
	assert_true(str_is_one_of("two", list, 2));
	assert_false(str_is_one_of("two", list, 1));
	assert_false(str_is_one_of("tw", list, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_builder_cuts_and_says_so),
		cmocka_unit_test(numbers_are_digits_in_range),
		cmocka_unit_test(words_that_say_yes_or_no),
		cmocka_unit_test(names_and_lists),
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
		cmocka_unit_test(objects_have_their_commas),
		cmocka_unit_test(times_are_rfc_3339),
		cmocka_unit_test(deadlines_saturate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
