/* TESTS: lib/template.c lib/json.c lib/str.c lib/clock.c units/environment.c units/arena.c */
/* Templates: what each filter makes of each value, and every mistake by its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/template.h"
#include "units/environment.h"

static char output[65536];
static size_t length;
static struct template_value given;
static struct template_fault fault;

static int find(void *context, const char *name, struct template_value *ret_value)
{
	(void)context;
	if (strcmp(name, "ABSENT") == 0)
		return 0;
	if (strcmp(name, "BROKEN") == 0)
		return -EBADMSG;
	if (strcmp(name, "X") != 0 && strcmp(name, "tls.key-2") != 0)
		return -ENOENT;
	*ret_value = given;
	return 1;
}

static int take(void *context, const char *bytes, size_t n)
{
	(void)context;
	assert_true(length + n < sizeof(output));
	memcpy(output + length, bytes, n);
	length += n;
	output[length] = '\0';
	return 0;
}

static int render(const char *path, const char *text, const char *value, size_t size)
{
	struct template_request request = {
		.text = text,
		.size = strlen(text),
		.format = template_format_of(path),
		.is_json = template_is_json(path),
		.find = find,
		.write = take,
	};

	length = 0;
	output[0] = '\0';
	given = (struct template_value){value, size};
	return template_render(&request, &fault);
}

static void test_what_a_value_becomes(void **state)
{
	static const struct {
		const char *path, *text, *value, *expected; /* NULL: it cannot be */
	} rows[] = {
		{"a.json", "{\"p\":\"{{ X }}\"}", "q\"\\\n\t\x01\x7f/ü€",
		 "{\"p\":\"q\\\"\\\\\\n\\t\\u0001\\u007f/ü€\"}"},
		{"a.json.in", "\"{{X}}\"", "plain", "\"plain\""},
		{"a.json", "\"a\\\"b {{ X }}\"", "v", "\"a\\\"b v\""},
		{"a.json", "{\"port\": {{ X | number }}}", "5432", "{\"port\": 5432}"},
		{"a.json", "{{ X | number }}", "-0.25", "-0.25"},
		{"a.json", "{{ X | number }}", "true", "true"},
		{"a.json", "{{ X | number }}", "1, \"admin\": true", NULL},
		{"a.json", "{{ X | number }}", "007", NULL},
		{"a.json", "{{ X | number }}", "1.", NULL},
		{"a.json", "{{ X | number }}", "-", NULL},
		{"a.json", "\"{{ X }}\"", "\xff\xfe", NULL},
		{"a.yaml", "p: \"{{ X }}\"\n", "a: b\nc", "p: \"a: b\\nc\"\n"},
		{"a.toml", "p = \"{{ X }}\"", "\"", "p = \"\\\"\""},
		{"a.ini", "p = {{ X }}\n", "s3cret#;x\"'\\", "p = s3cret#;x\"'\\\n"},
		{"a.conf", "p {{ X }}\n", "a b", "p a b\n"},
		{"a.conf", "p {{ X }}", "a\nadmin = yes", NULL},
		{"a.conf", "p {{ X }}", "a\rb", NULL},
		{"a.conf", "p {{ X }}", " a", NULL},
		{"a.conf", "p {{ X }}", "a\t", NULL},
		{"a.conf", "p {{ X }}", "#a", NULL},
		{"a.conf", "p {{ X }}", "a ;b", NULL},
		{"a.cnf", "p=\"{{ X | json }}\"", "a ;b\"", "p=\"a ;b\\\"\""},
		{"a.txt", "{{ X | raw }}", "any\nthing\"", "any\nthing\""},
		{"a.txt", "{{tls.key-2|raw}}", "k", "k"},
		{"a.txt", "[{{ ABSENT | raw }}]", "", "[]"},
		{"a.txt", "{{{{ X }} } }} {{ X | raw }}", "v", "{{ X }} } }} v"},
		{"a.txt", "{{ X | raw }}", "{{ X }}", "{{ X }}"},
		{"a.txt", "nothing { here }", "", "nothing { here }"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		int r = render(rows[i].path, rows[i].text, rows[i].value, strlen(rows[i].value));
		if (rows[i].expected) {
			if (r < 0)
				print_message("%s: %s\n", rows[i].text, fault.message);
			assert_int_equal(r, 0);
			assert_string_equal(output, rows[i].expected);
		} else {
			if (r != -EINVAL)
				print_message("%s: got %s\n", rows[i].text, output);
			assert_int_equal(r, -EINVAL);
			assert_string_equal(fault.name, "X");
		}
	}
}

static void refuse_line(void *context, unsigned line, const char *message)
{
	(void)context;
	fail_msg("line %u: %s", line, message);
}

/* Whatever the value, an environment file gives it back: read by what reads EnvironmentFile=. */
static void check_round_trip(const char *text, const char *expected)
{
	struct strings variables = {0};
	struct arena arena;

	arena_init(&arena, 1U << 20);
	if (setjmp(arena.on_failure))
		fail_msg("out of memory");
	environment_read(&arena, text, &variables, refuse_line, NULL);
	assert_int_equal(variables.count, 2);
	assert_string_equal(environment_get(&variables, "A", 1), expected);
	assert_string_equal(environment_get(&variables, "B", 1), "last");
	arena_finish(&arena);
}

static void test_environment_files_give_values_back(void **state)
{
	static const char *const values[] = {
		"plain",
		"",
		" blanks at ends ",
		"\"quoted\" 'single' `x` $HOME ${A}",
		"back\\slash\\",
		"#no comment",
		";",
		"a=b",
		"tab\there",
		"ü",
		"'",
		"\"",
	};
	static const char *const lines[] = {"A={{ X }}\nB=last\n", "A=\"{{ X }}\"\nB=last\n",
					    " # a comment = {{{{ '\" \n;'\nA = {{ X }}\nB=last"};
	static const char *const multi = "-----BEGIN\nline \"2\"\r\n$END\n";
	char expected[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
		for (size_t j = 0; j < ARRAY_COUNT(lines); j++) {
			assert_int_equal(render("x.env", lines[j], values[i], strlen(values[i])),
					 0);
			check_round_trip(output, values[i]);
		}
		assert_int_equal(render("x.env", "A=pre:\"in {{ X }}\":{{ X }}:post\nB=last\n",
					values[i], strlen(values[i])),
				 0);
		(void)snprintf(expected, sizeof(expected), "pre:in %s:%s:post", values[i],
			       values[i]);
		check_round_trip(output, expected);
	}
	assert_int_equal(render("x.env", lines[1], multi, strlen(multi)), 0);
	check_round_trip(output, multi);
	assert_int_equal(render("x.env", lines[0], multi, strlen(multi)), -EINVAL);
	assert_int_equal(render("x.env", "A='{{ X }}'\nB=last\n", "it's", 4), -EINVAL);
	assert_int_equal(render("x.env", "A='{{ X }}'\nB=last\n", "$\\\"", 3), 0);
	check_round_trip(output, "$\\\"");
	assert_int_equal(render("x.env", "A_{{ X }}=1\n", "a=b\nEVIL", 8), -EINVAL);
	assert_int_equal(render("x.env", "# {{ X }}\n", "\nEVIL=1", 7), -EINVAL);
	assert_int_equal(render("x.env", "A={{ X }}\n", "\x01", 1), -EINVAL);
	assert_int_equal(render("x.env", "A=\"{{ X }}\"\n", "a\0b", 3), -EINVAL);
}

static void test_mistakes_have_a_place(void **state)
{
	static const struct {
		const char *path, *text, *name, *message;
		uint32_t line, column;
	} rows[] = {
		{"a.ini", "a\nb {{ NONE }}\n", "NONE", "the unit has no Secret=", 2, 3},
		{"a.ini", "a\n\n  {{ X \n}}", "", "expected }} on the same line", 3, 3},
		{"a.ini", "{{ X", "", "expected }} on the same line", 1, 1},
		{"a.ini", "{{ }}", "", "expected {{ NAME }}", 1, 1},
		{"a.ini", "{{{ X }}", "", "expected {{ NAME }}", 1, 1},
		{"a.ini", "{{ X Y }}", "X", "expected }} or a filter", 1, 1},
		{"a.ini", "ab{{ X | html }}", "X", "expected one of the filters", 1, 3},
		{"a.ini", "{{ X | raw | json }}", "X", "expected one of the filters", 1, 1},
		{"a.txt", "{{ X }}", "X", "the file's name does not say", 1, 1},
		{"a.json", "{{ X }}", "X", "expected it within double quotes", 1, 1},
		{"a.json", "\"\\{{ X }}\"", "X", "expected no backslash", 1, 3},
		{"a.env", "A=\\{{ X }}", "X", "expected no backslash", 1, 4},
		{"a.json", "{{ X | raw }}{{ X | raw }}\n\"{{ X }}{{ NO }}\"", "NO",
		 "the unit has no", 2, 9},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_int_equal(render(rows[i].path, rows[i].text, "v", 1), -EINVAL);
		if (!strstr(fault.message, rows[i].message))
			fail_msg("%s: %s", rows[i].text, fault.message);
		assert_string_equal(fault.name, rows[i].name);
		assert_int_equal(fault.line, rows[i].line);
		assert_int_equal(fault.column, rows[i].column);
	}
	assert_int_equal(render("a.json", "\"{{ X }}\"", "a\0b", 3), -EINVAL);
	assert_int_equal(render("a.ini", "{{ X }}", "a\0b", 3), -EINVAL);
	assert_int_equal(render("a.ini", "{{ BROKEN }}", "", 0), -EBADMSG);
}

static void test_names_say_the_format(void **state)
{
	(void)state;
	assert_int_equal(template_format_of("/etc/a.json"), TEMPLATE_JSON);
	assert_int_equal(template_format_of("a.json.tmpl"), TEMPLATE_JSON);
	assert_int_equal(template_format_of("my.cnf.template"), TEMPLATE_INI);
	assert_int_equal(template_format_of(".env"), TEMPLATE_ENV);
	assert_int_equal(template_format_of("json"), TEMPLATE_UNKNOWN);
	assert_int_equal(template_format_of("a.xml.in"), TEMPLATE_UNKNOWN);
	assert_true(template_is_json("a.json.in"));
	assert_false(template_is_json("a.yaml"));
}

/* Without a writer a template is checked before there are values. */
static void test_checked_without_values(void **state)
{
	static const char text[] = "{{ X | number }} {{ X | json }}\n{{ NONE | raw }}";
	struct template_request request = {.text = text, .size = sizeof(text) - 1, .find = find};

	(void)state;
	given = (struct template_value){"\xff", 1};
	assert_int_equal(template_render(&request, &fault), -EINVAL);
	assert_string_equal(fault.name, "NONE");
	assert_int_equal(fault.line, 2);
}

/* A small file must not fill the memory. */
static int count(void *context, const char *bytes, size_t n)
{
	(void)context;
	(void)bytes;
	length += n;
	return 0;
}

static void test_output_is_bounded(void **state)
{
	char text[2000] = "";
	char *big = calloc(1, 1U << 20);
	struct template_request request = {.format = TEMPLATE_RAW, .find = find, .write = count};

	(void)state;
	for (int i = 0; i < 20; i++)
		memcpy(text + strlen(text), "{{ X }}", sizeof("{{ X }}"));
	request.text = text;
	request.size = strlen(text);
	length = 0;
	assert_non_null(big);
	given = (struct template_value){big, 1U << 20};
	assert_int_equal(template_render(&request, &fault), -E2BIG);
	assert_true(length <= TEMPLATE_OUTPUT_MAX);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_a_value_becomes),
		cmocka_unit_test(test_environment_files_give_values_back),
		cmocka_unit_test(test_mistakes_have_a_place),
		cmocka_unit_test(test_names_say_the_format),
		cmocka_unit_test(test_checked_without_values),
		cmocka_unit_test(test_output_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
