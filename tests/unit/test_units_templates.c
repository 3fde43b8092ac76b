/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* [X-Templates]: what comes of its lines, and every mistake of a template by its place in its file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sysexits.h>

#include "lib/cleanup.h"
#include "lib/template.h"
#include "tests/unit/units_tree.h"

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	tree_units(&tree, "web.service");
	return 0;
}

static void write_unit(const char *secrets, const char *templates)
{
	char text[2048];

	(void)snprintf(text, sizeof(text),
		       "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\n%s[X-Templates]\n%s",
		       secrets, templates);
	tree_unit(&tree, "web.service", text);
}

static const struct plan_template *template_at(uint32_t i)
{
	return plan_template(&tree.plan, tree_find(&tree, "web.service")->templates.first + i);
}

static void check_template(uint32_t i, const char *target, const char *source,
			   enum template_format format, uint32_t flags, uint32_t mode)
{
	const struct plan_template *template = template_at(i);

	assert_string_equal(plan_string(&tree.plan, template->target), target);
	assert_string_equal(plan_string(&tree.plan, template->source), source);
	assert_int_equal(template->format, format);
	assert_int_equal(template->flags, flags);
	assert_int_equal(template->mode, mode);
}

static void test_lines_become_records(void **state)
{
	(void)state;
	tree_write(&tree, "etc/app/web.json.in",
		   "{\"a\": \"{{ DB }}\", \"n\": {{ PORT | number }}}\n", 0644);
	tree_write(&tree, "etc/app/my.cnf", "password = {{ DB }}\nkey = {{ tls.key }}\n", 0644);
	tree_write(&tree, "etc/app/plain", "{{ DB }}\n", 0644);
	write_unit("Secret=DB ssm:/a/b\nConfig=PORT ssm:/a/port\nSecretFile=tls.key vault:a/b#c\n",
		   "web.json=/etc/app/web.json.in\nmy.cnf=/etc/app/my.cnf mode=0440\n"
		   "%p.txt=/etc/app/plain format=raw\ngone=/etc/none\ngone=\n"
		   "X-odd=/etc/app/plain format=json\n");
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "web.service")->templates.count, 4);
	check_template(0, "web.json", "/etc/app/web.json.in", TEMPLATE_JSON, TEMPLATE_IS_JSON,
		       0400);
	check_template(1, "my.cnf", "/etc/app/my.cnf", TEMPLATE_INI, 0, 0440);
	check_template(2, "web.txt", "/etc/app/plain", TEMPLATE_RAW, 0, 0400);
	check_template(3, "X-odd", "/etc/app/plain", TEMPLATE_JSON, 0, 0400);
	assert_string_equal(
		tree_variable(&tree, tree_find(&tree, "web.service"), "CREDENTIALS_DIRECTORY"),
		"/run/holdfast/credentials/web.service");
}

/* A later line of a drop-in takes a target's place; within one file that is said. */
static void test_the_later_line_holds(void **state)
{
	(void)state;
	tree_write(&tree, "etc/a.ini", "a\n", 0644);
	tree_write(&tree, "etc/b.ini", "b\n", 0644);
	write_unit("", "x=/etc/a.ini\nx=/etc/b.ini\n");
	tree_take(&tree);
	assert_int_equal(tree_diag(&tree, "the later one holds")->line, 6);
	check_template(0, "x", "/etc/b.ini", TEMPLATE_INI, 0, 0400);
	tree_unit(&tree, "web.service.d/a.conf", "[X-Templates]\nx=/etc/a.ini\n");
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "web.service")->templates.count, 1);
	check_template(0, "x", "/etc/a.ini", TEMPLATE_INI, 0, 0400);
}

static void test_mistakes_in_the_file(void **state)
{
	static const struct {
		const char *text, *message;
		unsigned line, column;
	} rows[] = {
		{"a = 1\n  b = {{ MISSING }}\n",
		 "template of web.service: {{ MISSING }}: the unit has no", 2, 7},
		{"a = {{ DB \n}}\n", "expected }} on the same line", 1, 5},
		{"a = {{ DB | shell }}\n", "{{ DB }}: expected one of the filters", 1, 5},
		{"{{}}", "template of web.service: expected {{ NAME }}", 1, 1},
	};

	(void)state;
	write_unit("Secret=DB ssm:/a/b\n", "x.ini=/etc/x.ini.in\n");
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		tree_write(&tree, "etc/x.ini.in", rows[i].text, 0644);
		assert_int_equal(tree_load(&tree)->n_errors, 1);
		const struct diag *diag = tree_diag(&tree, rows[i].message);
		assert_string_equal(diag->file, "/etc/x.ini.in");
		assert_int_equal(diag->line, rows[i].line);
		assert_int_equal(diag->column, rows[i].column);
		assert_int_equal(diag->level, DIAG_ERROR);
	}
	/* What lies below a path is known when it was fetched. */
	tree_write(&tree, "etc/x.ini.in", "{{ MISSING }}\n", 0644);
	write_unit("SecretPath=ssm:/a/\n", "x.ini=/etc/x.ini.in\n");
	tree_take(&tree);
}

static void test_mistakes_in_the_unit(void **state)
{
	static const struct {
		const char *line, *message;
		unsigned column;
	} rows[] = {
		{"x=etc/x.ini", "expected the absolute path", 3},
		{"x=/etc/../x.ini", "expected the absolute path", 3},
		{"x=/etc/", "expected the absolute path", 3},
		{"a/b=/etc/x.ini", "expected the name of a file", 1},
		{".x=/etc/x.ini", "expected the name of a file", 1},
		{"x=/etc/x.ini mode=9", "\"mode=9\": expected format=", 14},
		{"x=/etc/x.ini format=xml", "\"format=xml\": expected format=", 14},
		{"x=/etc/x.ini optional", "\"optional\": expected format=", 14},
		{"key=/etc/x.ini", "SecretFile= in line 4 makes a file of that name", 5},
	};

	(void)state;
	tree_write(&tree, "etc/x.ini", "", 0644);
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		write_unit("SecretFile=key ssm:/a/b\n", rows[i].line);
		(void)tree_load(&tree);
		const struct diag *diag = tree_diag(&tree, rows[i].message);
		assert_int_equal(diag->line, 6);
		assert_int_equal(diag->column, rows[i].column);
		assert_int_equal(diag->level, DIAG_ERROR);
	}
}

/* Where the image is at hand a file that is missing ends the boot; offline it is only said. */
static void test_a_template_that_is_not_there(void **state)
{
	(void)state;
	write_unit("", "x=/etc/none.ini\n");
	assert_int_equal(tree_load(&tree)->n_errors, 1);
	assert_int_equal(tree_diag(&tree, "[X-Templates] x=: /etc/none.ini cannot be read")->status,
			 EX_NOINPUT);
	tree.request.is_offline = true;
	assert_int_equal(tree_load(&tree)->n_errors, 0);
	(void)tree_diag(&tree, "/etc/none.ini cannot be read");
}

#define TEST(name) TREE_TEST(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lines_become_records),	 TEST(test_the_later_line_holds),
		TEST(test_mistakes_in_the_file),	 TEST(test_mistakes_in_the_unit),
		TEST(test_a_template_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
