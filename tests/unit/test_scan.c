/* TESTS: lib/scan.c log/split.c lib/json.c lib/str.c lib/clock.c */
#include "lib/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "log/split.h"

static bool is_object(const char *text)
{
	struct scan_span object;
	/* A copy of its own size, so that the sanitizer sees any step beyond it. */
	size_t length = strlen(text);
	char *copy = malloc(length ? length : 1);
	assert_non_null(copy);
	memcpy(copy, text, length);
	bool result = scan_object(copy, length, NULL, NULL, &object);
	free(copy);
	return result;
}

static void test_objects_are_known(void **state)
{
	static const char *const good[] = {
		"{}",
		" \t{ } \r",
		"{\"\":0}",
		"{\"a\":-0.5e+10,\"b\":1E2,\"c\":0,\"d\":-0,\"e\":120}",
		"{\"a\":[],\"b\":[1,[2,{}],\"x\"],\"c\":{\"d\":{}}}",
		"{\"a\":true,\"b\":false,\"c\":null}",
		"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD834\\udd1e\"}",
		"{\"\xE2\x82\xAC\":\"\xF0\x9F\x98\x80\"}",
		"{\"a\":1,\"a\":2}",
		"{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
		if (!is_object(good[i]))
			fail_msg("refused: %s", good[i]);
	}
}

static void test_anything_else_is_not(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"1",
		"[]",
		"\"a\"",
		"null",
		"{",
		"}",
		"{\"",
		"{\"a",
		"{\"a\"",
		"{\"a\":",
		"{\"a\":1",
		"{\"a\":1,",
		"{\"a\":1,}",
		"{,}",
		"{a:1}",
		"{'a':1}",
		"{\"a\" 1}",
		"{\"a\":}",
		"{} {}",
		"{}x",
		"x{}",
		"{\"a\":01}",
		"{\"a\":1.}",
		"{\"a\":.5}",
		"{\"a\":+1}",
		"{\"a\":-}",
		"{\"a\":1e}",
		"{\"a\":1e+}",
		"{\"a\":0x1}",
		"{\"a\":NaN}",
		"{\"a\":Infinity}",
		"{\"a\":tru}",
		"{\"a\":truex}",
		"{\"a\":[1,]}",
		"{\"a\":[1 2]}",
		"{\"a\":[1}",
		"{\"a\":]}",
		"{\"a\":\"\t\"}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\\"}",
		"{\"a\":\"\\u12\"}",
		"{\"a\":\"\\u12g4\"}",
		"{\"a\":\"\\uD834\"}",
		"{\"a\":\"\\uD834x\"}",
		"{\"a\":\"\\uD834\\u0041\"}",
		"{\"a\":\"\\uDD1E\"}",
		"{\"a\":\"\xFF\"}",
		"{\"a\":\"\xC0\x80\"}",
		"{\"a\":\"\xED\xA0\x80\"}",
		"{\"a\":\"\xE2\x82\"}",
		"\xEF\xBB\xBF{}",
		"{\"a\":1}\x0B",
		"{\"a\"\n:1}",
		"{}\n",
		"{\"a\":1]",
		"{\"a\":\"\n\"}",
		"{\"a\":/**/1}",
		"{\"a\":\"\\",
		"{\"a\":\"\\u",
		"{\"a\":\"\\uD834\\",
		"{\"a\":-",
		"{\"a\":t",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		if (is_object(bad[i]))
			fail_msg("taken: %s", bad[i]);
	}
}

static void test_a_nul_is_no_end(void **state)
{
	static const char text[] = "{\"a\":\"\\\0\"}";
	struct scan_span object;

	(void)state;
	assert_false(scan_object("{\"a\":\"\0\"}", 9, NULL, NULL, &object));
	assert_false(scan_object(text, sizeof(text) - 1, NULL, NULL, &object));
	assert_false(scan_object("{}\0", 3, NULL, NULL, &object));
}

static void nest(char *text, int depth)
{
	char *at = text;

	for (int i = 0; i < depth; i++)
		at += sprintf(at, i == 0 ? "{\"a\":" : "[");
	*at++ = '1';
	for (int i = depth - 1; i >= 0; i--)
		*at++ = i == 0 ? '}' : ']';
	*at = '\0';
}

static void test_depth_is_bounded(void **state)
{
	char text[4 * SCAN_DEPTH_MAX + 64];
	char *deep = calloc(1, 1 << 20);

	(void)state;
	nest(text, SCAN_DEPTH_MAX);
	assert_true(is_object(text));
	nest(text, SCAN_DEPTH_MAX + 1);
	assert_false(is_object(text));
	assert_non_null(deep);
	memcpy(deep, "{\"a\":", 5);
	memset(deep + 5, '[', (1 << 20) - 6);
	assert_false(is_object(deep));
	free(deep);
}

struct seen {
	int count;
	char keys[64], values[64];
};

static void see(void *context, struct scan_span key, struct scan_span value)
{
	struct seen *seen = context;

	seen->count++;
	strncat(seen->keys, key.data, key.length);
	strncat(seen->values, value.data, value.length);
}

static void test_only_the_outermost_members_are_visited(void **state)
{
	static const char text[] = "  {\"a\": {\"b\":1}, \"c\" : [{\"d\":2}], \"e\":\"f\"}\r";
	struct seen seen = {0};
	struct scan_span object;

	(void)state;
	assert_true(scan_object(text, strlen(text), see, &seen, &object));
	assert_int_equal(seen.count, 3);
	assert_string_equal(seen.keys, "ace");
	assert_string_equal(seen.values, "{\"b\":1}[{\"d\":2}]\"f\"");
	assert_ptr_equal(object.data, text + 2);
	assert_int_equal(object.length, strlen(text) - 3);
}

static bool is_word(const char *string)
{
	return scan_string_is((struct scan_span){string, strlen(string)}, "holdfast");
}

static void test_escapes_do_not_hide_a_word(void **state)
{
	(void)state;
	assert_true(is_word("holdfast"));
	assert_true(is_word("\\u0068ol\\u0064fast"));
	assert_true(is_word("holdfas\\u0074"));
	assert_false(is_word("holdfas"));
	assert_false(is_word("holdfasts"));
	assert_false(is_word(""));
	assert_false(is_word("holdfas\\u0174"));
	assert_false(is_word("holdfas\\t"));
}

/* ---- split */

static size_t json_length(const char *text, size_t length)
{
	size_t size = length * 6 + 16;
	char *data = malloc(size);
	struct strbuf buf;

	assert_non_null(data);
	strbuf_init(&buf, data, size);
	json_bytes(&buf, text, length);
	assert_false(buf.is_cut);
	size_t result = buf.length - 2;
	free(data);
	return result;
}

/* Repeats unit to about 40 KB and checks the cut. */
static void check_cut(const char *unit, size_t unit_length, size_t wanted)
{
	size_t length = 40000 / unit_length * unit_length;
	char *text = malloc(length);

	assert_non_null(text);
	for (size_t i = 0; i < length; i++)
		text[i] = unit[i % unit_length];
	size_t fit = split_fit(text, length, false);
	assert_int_equal(fit, wanted);
	assert_true(json_length(text, fit) <= SPLIT_TEXT_MAX);
	assert_true(json_length(text, fit + unit_length) > SPLIT_TEXT_MAX);
	assert_int_equal(split_fit(text, fit, false), fit);
	free(text);
}

static void test_cuts_count_what_escapes_take_up(void **state)
{
	(void)state;
	check_cut("a", 1, SPLIT_TEXT_MAX);
	check_cut("\"", 1, SPLIT_TEXT_MAX / 2);
	check_cut("\t", 1, SPLIT_TEXT_MAX / 2);
	check_cut("\x01", 1, SPLIT_TEXT_MAX / 6);
	check_cut("\v", 1, SPLIT_TEXT_MAX / 6);
	check_cut("\x7F", 1, SPLIT_TEXT_MAX / 6);
	check_cut("\xFF", 1, SPLIT_TEXT_MAX / 3);
	check_cut("\xE2\x82\xAC", 3, SPLIT_TEXT_MAX);
	check_cut("\xF0\x9F\x98\x80", 4, SPLIT_TEXT_MAX);
	check_cut("\xC3\xA9"
		  "a",
		  3, SPLIT_TEXT_MAX);
}

/* What may still become a character is not cut in two. */
static void test_an_open_end_keeps_its_character(void **state)
{
	char text[SPLIT_TEXT_MAX + 4];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + SPLIT_TEXT_MAX - 4, "\xF0\x9F\x98", 3);
	assert_int_equal(split_fit(text, SPLIT_TEXT_MAX - 1, true), SPLIT_TEXT_MAX - 4);
	/* With nothing to come they are three bytes of garbage, of which one fits. */
	assert_int_equal(split_fit(text, SPLIT_TEXT_MAX - 1, false), SPLIT_TEXT_MAX - 3);
}

static void test_what_may_become_an_object(void **state)
{
	(void)state;
	assert_true(split_may_be_object("{", 1));
	assert_true(split_may_be_object(" \t {", 4));
	assert_false(split_may_be_object("", 0));
	assert_false(split_may_be_object("   ", 3));
	assert_false(split_may_be_object("a{", 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_are_known),
		cmocka_unit_test(test_anything_else_is_not),
		cmocka_unit_test(test_a_nul_is_no_end),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_only_the_outermost_members_are_visited),
		cmocka_unit_test(test_escapes_do_not_hide_a_word),
		cmocka_unit_test(test_cuts_count_what_escapes_take_up),
		cmocka_unit_test(test_an_open_end_keeps_its_character),
		cmocka_unit_test(test_what_may_become_an_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
