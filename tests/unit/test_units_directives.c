/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/*
 * docs/directives.md is what the schema's table prints (HOLDFAST_WRITE=1 writes it), and what the
 * table says of a directive is what a unit that has it gets to hear.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "tests/unit/units_tree.h"
#include "units/schema.h"

#define DOCUMENT "docs/directives.md"
#define ROWS_MAX 1000

struct row {
	char section[40], key[64];
	enum schema_care care;
};

static struct row rows[ROWS_MAX];
static size_t n_rows;

static const char *const care_words[SCHEMA_CARE_COUNT] = {
	[SCHEMA_HONOURED] = "honoured",
	[SCHEMA_CHECKED] = "checked, never used",
	[SCHEMA_HARMLESS] = "harmless",
	[SCHEMA_NOT_HONOURED] = "said aloud",
	[SCHEMA_NOT_ENFORCED] = "said aloud: protection that is not given",
};

static void add_row(void *context, const char *section, const char *key, enum schema_care care)
{
	(void)context;
	assert_true(n_rows < ROWS_MAX);
	assert_true(str_copy(rows[n_rows].section, sizeof(rows[n_rows].section), section));
	assert_true(str_copy(rows[n_rows].key, sizeof(rows[n_rows].key), key));
	rows[n_rows++].care = care;
}

static int compare(const void *a, const void *b)
{
	const struct row *left = a, *right = b;
	int r = strcmp(left->section, right->section);

	return r ? r : strcmp(left->key, right->key);
}

static int set_up(void **state)
{
	(void)state;
	schema_walk(add_row, NULL);
	qsort(rows, n_rows, sizeof(rows[0]), compare);
	return 0;
}

static void print_rows(FILE *out)
{
	fputs("# Directives of unit files\n\n"
	      "Printed from the table in units/schema.c by its test.\n\n"
	      "* **honoured**: it means what systemd's manual says, or a message at its line says what "
	      "is different.\n"
	      "* **checked, never used**: a value that is wrong is an error; nothing is ever reloaded.\n"
	      "* **harmless**: passed over in silence, as its meaning is kept anyway or there is none "
	      "here.\n"
	      "* **said aloud**: not honoured; a warning names file and line, unless the value is "
	      "empty or \"no\".\n\n"
	      "What is not in this table, and does not begin with `X-`, is unknown: a warning, and an "
	      "error under `holdfast-check --strict`. `[Install]` is resolved when an image is built.\n\n"
	      "| section | directive | holdfast |\n|---|---|---|\n",
	      out);
	for (size_t i = 0; i < n_rows; i++)
		fprintf(out, "| %s | %s= | %s |\n", rows[i].section, rows[i].key,
			care_words[rows[i].care]);
}

static void the_document_is_the_table(void **state)
{
	static char found[1 << 17];
	char *text = NULL;
	size_t size = 0;

	(void)state;
	FILE *out = open_memstream(&text, &size);
	assert_non_null(out);
	print_rows(out);
	assert_int_equal(fclose(out), 0);
	FILE *file = fopen(DOCUMENT, getenv("HOLDFAST_WRITE") ? "w+" : "r");
	assert_non_null(file);
	if (getenv("HOLDFAST_WRITE")) {
		assert_int_equal(fwrite(text, 1, size, file), size);
		rewind(file);
	}
	size_t n = fread(found, 1, sizeof(found) - 1, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(n, size);
	assert_memory_equal(found, text, size);
	free(text);
}

static void each_is_said_once(void **state)
{
	(void)state;
	assert_in_range(n_rows, 300, ROWS_MAX);
	for (size_t i = 1; i < n_rows; i++) {
		if (compare(&rows[i - 1], &rows[i]) == 0)
			fail_msg("%s= stands twice in [%s]", rows[i].key, rows[i].section);
	}
}

static bool is_told(const struct diag_list *list, uint32_t line, const char *text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i].line == line && strstr(list->items[i].message, text))
			return true;
	}
	return false;
}

/* The row's directive on a line of its own, which is the first; in a unit that is else in order. */
static const struct diag_list *load(const struct row *row, const char *value)
{
	bool is_socket = strcmp(row->section, "Socket") == 0;
	bool is_service = strcmp(row->section, "Service") == 0;
	char text[400];

	(void)snprintf(text, sizeof(text), "[%s]\n%s=%s\n%s", row->section, row->key, value,
		       is_socket    ? "ListenStream=/run/x\n"
		       : is_service ? "ExecStart=/usr/bin/app\n"
				    : "[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "a.service", is_socket ? "[Service]\nExecStart=/usr/bin/app\n" : text);
	if (is_socket)
		tree_unit(&tree, "a.socket", text);
	tree_units(&tree, is_socket ? "a.socket" : "a.service");
	return tree_load(&tree);
}

static void check_row(const struct row *row)
{
	bool is_aloud = row->care == SCHEMA_NOT_HONOURED || row->care == SCHEMA_NOT_ENFORCED;
	const struct diag_list *list = load(row, "yes");
	bool is_known = !is_told(list, 2, "unknown") && !is_told(list, 2, "does not belong");

	if (!is_known || is_aloud != (is_told(list, 2, "known, but not honoured") ||
				      is_told(list, 2, "not enforced"))) {
		tree_say(list);
		fail_msg("[%s] %s=yes is not what the table says", row->section, row->key);
	}
	if (row->care == SCHEMA_HARMLESS)
		assert_false(is_told(list, 2, ""));
	if (is_aloud)
		assert_false(is_told(load(row, "no"), 2, ""));
}

static void a_unit_hears_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_rows; i++) {
		if (!strchr(rows[i].section, ','))
			check_row(&rows[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_document_is_the_table),
		cmocka_unit_test(each_is_said_once),
		TREE_TEST(a_unit_hears_what_the_table_says, tree_set_up),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
