/* TESTS: units/lex.c units/words.c units/values.c units/names.c units/specifier.c units/source.c lib/walk.c units/environment.c units/arena.c lib/plan.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/signals.c */
/* The text level: lines, words, values, names, specifiers, environment files. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "units/environment.h"
#include "units/lex.h"
#include "units/specifier.h"
#include "units/values.h"
#include "units/words.h"

static struct arena arena;

static int set_up(void **state)
{
	(void)state;
	arena_init(&arena, 16U << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_finish(&arena);
	return 0;
}

/* ---------------------------------------------------------------- lines */

static struct lexer open_lexer(const char *text, size_t size)
{
	struct lexer lexer;

	lex_init(&lexer, &arena, "x.service", text, size);
	return lexer;
}

static struct lex_item next(struct lexer *lexer)
{
	struct lex_item item;

	lex_next(lexer, &item);
	return item;
}

static void expect_assignment(struct lexer *lexer, const char *key, const char *value,
			      unsigned line, unsigned column)
{
	struct lex_item item = next(lexer);
	struct where at = lex_value(&item);

	assert_int_equal(item.kind, LEX_ASSIGNMENT);
	assert_string_equal(item.key, key);
	assert_string_equal(item.value, value);
	assert_int_equal(at.line, line);
	assert_int_equal(at.column, column);
}

static void test_lines(void **state)
{
	static const char text[] = "\xef\xbb\xbf# comment\n; another\n\n[Unit]\r\n"
				   "  Description = some text \r\nEmpty=\nLast=a=b";
	struct lexer lexer = open_lexer(text, sizeof(text) - 1);
	struct lex_item section = next(&lexer);

	(void)state;
	assert_int_equal(section.kind, LEX_SECTION);
	assert_string_equal(section.key, "Unit");
	assert_int_equal(section.at.line, 4);
	expect_assignment(&lexer, "Description", "some text", 5, 17);
	expect_assignment(&lexer, "Empty", "", 6, 7);
	expect_assignment(&lexer, "Last", "a=b", 7, 6);
	assert_int_equal(next(&lexer).kind, LEX_END);
}

static void test_continuation(void **state)
{
	static const char text[] =
		"ExecStart=/bin/x \\\n  --one \\\n# not this\n  ; nor this\n  --two\nA=b\\";
	struct lexer lexer = open_lexer(text, sizeof(text) - 1);
	struct lex_item item = next(&lexer);

	(void)state;
	assert_string_equal(item.value, "/bin/x    --one    --two");
	const char *two = strstr(item.value, "--two");
	struct where at = lex_where(&item, (size_t)(two - item.value));
	assert_int_equal(at.line, 5);
	assert_int_equal(at.column, 3);
	at = lex_where(&item, (size_t)(strstr(item.value, "--one") - item.value));
	assert_int_equal(at.line, 2);
	assert_int_equal(at.column, 3);
	/* A backslash at the very end continues with nothing. */
	expect_assignment(&lexer, "A", "b", 6, 3);
	assert_int_equal(next(&lexer).kind, LEX_END);
}

static void test_value_that_begins_on_the_next_line(void **state)
{
	static const char text[] = "A=\\\n\\\n   b";
	struct lexer lexer = open_lexer(text, sizeof(text) - 1);

	(void)state;
	expect_assignment(&lexer, "A", "b", 3, 4);
}

static void expect_error(const char *text, size_t size, unsigned line, unsigned column,
			 const char *message)
{
	struct lexer lexer = open_lexer(text, size);
	struct lex_item item = next(&lexer);

	assert_int_equal(item.kind, LEX_ERROR);
	assert_int_equal(item.at.line, line);
	assert_int_equal(item.at.column, column);
	assert_non_null(strstr(item.message, message));
}

static void test_line_errors(void **state)
{
	static const char nul[] = "A=b\0c";

	(void)state;
	expect_error("\n  words", 8, 2, 3, "expected Key=value or [Section]");
	expect_error("=x", 2, 1, 1, "expected a key");
	expect_error("[Unit", 5, 1, 6, "expected \"]\"");
	expect_error("[]", 2, 1, 1, "expected [Section]");
	expect_error(nul, sizeof(nul) - 1, 1, 4, "NUL");
	expect_error("A=\x01", 3, 1, 3, "control character 0x01");
	expect_error("A=b\\\nc\x1b", 7, 2, 2, "control character 0x1b");
}

/* ---------------------------------------------------------------- words */

static void expect_words(const char *text, unsigned flags, const char *const *expected)
{
	const char *at = text;
	char *word;

	for (; *expected; expected++) {
		assert_int_equal(words_next(&arena, &at, flags, &word), WORDS_FOUND);
		assert_string_equal(word, *expected);
	}
	assert_int_equal(words_next(&arena, &at, flags, &word), WORDS_END);
}

static void test_words(void **state)
{
	const unsigned both = WORDS_UNQUOTE | WORDS_UNESCAPE;

	(void)state;
	expect_words(" a  b ", both, (const char *[]){"a", "b", NULL});
	expect_words("\"a b\" 'c \"d' e\"f g\"h \"\"", both,
		     (const char *[]){"a b", "c \"d", "ef gh", "", NULL});
	expect_words("\\x41\\102\\n\\u00e9\\U0001F600\\s\\\\", both,
		     (const char *[]){"AB\n\u00e9\U0001F600 \\", NULL});
	/* Names of units keep their own escapes. */
	expect_words("dev-disk\\x2da.device", WORDS_UNQUOTE,
		     (const char *[]){"dev-disk\\x2da.device", NULL});
	expect_words("\"open", WORDS_UNQUOTE | WORDS_RELAX, (const char *[]){"open", NULL});
}

static void test_words_that_are_wrong(void **state)
{
	static const struct {
		const char *text;
		size_t place;
	} rows[] = {
		{"a \"open", 2}, {"\\q", 1}, {"\\x0", 1},    {"\\x01", 1},
		{"\\u12", 1},	 {"a\\", 2}, {"\\ud800", 1}, {"\\777", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		const char *at = rows[i].text;
		enum words_outcome outcome;
		char *word;
		while ((outcome = words_next(&arena, &at, WORDS_UNQUOTE | WORDS_UNESCAPE, &word)) ==
		       WORDS_FOUND)
			;
		assert_int_equal(outcome, WORDS_BAD);
		assert_int_equal(at - rows[i].text, rows[i].place);
		assert_true(strlen(word) > 0);
	}
}

/* ---------------------------------------------------------------- values */

static void test_spans(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} rows[] = {
		{"30", 30000000},
		{"1min 30s", 90000000},
		{"1min30s", 90000000},
		{"1.5", 1500000},
		{".5h", 1800000000},
		{"100ms", 100000},
		{"infinity", UINT64_MAX},
		{"2 h", 7200000000},
		{"5us", 5},
		{"0", 0},
		{"1M", 2629800000000},
		{"1m", 60000000},
		{"0.000001", 1},
	};
	static const char *const wrong[] = {"",
					    " ",
					    "x",
					    "-1",
					    "1 parsec",
					    "1min 30q",
					    "1..5",
					    "99999999999999999999",
					    "999999999999y",
					    "+3"};
	uint64_t us;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_int_equal(value_span(rows[i].text, &us), 0);
		assert_true(us == rows[i].us);
	}
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		assert_true(value_span(wrong[i], &us) < 0);
}

static void test_numbers(void **state)
{
	uint64_t size;
	uint32_t number;
	int32_t small;

	(void)state;
	assert_int_equal(value_size("64M", &size), 0);
	assert_int_equal(size, 64 << 20);
	assert_int_equal(value_size("1.5K", &size), 0);
	assert_int_equal(size, 1536);
	assert_true(value_size("64Q", &size) < 0);
	assert_true(value_size("16E", &size) < 0);
	assert_int_equal(value_mode("0750", &number), 0);
	assert_int_equal(number, 0750);
	assert_true(value_mode("8", &number) < 0);
	assert_true(value_mode("10000", &number) < 0);
	assert_int_equal(value_int("-1000", -1000, 1000, &small), 0);
	assert_int_equal(small, -1000);
	assert_int_equal(value_int("1001", -1000, 1000, &small), -ERANGE);
}

static void test_signals_and_statuses(void **state)
{
	uint32_t number;

	(void)state;
	assert_int_equal(value_signal("SIGTERM", &number), 0);
	assert_int_equal(number, 15);
	assert_int_equal(value_signal("USR1", &number), 0);
	assert_int_equal(number, 10);
	assert_int_equal(value_signal("9", &number), 0);
	assert_int_equal(number, 9);
	assert_int_equal(value_signal("RTMIN+3", &number), 0);
	assert_int_equal(number, 37);
	assert_int_equal(value_signal("SIGRTMAX-1", &number), 0);
	assert_int_equal(number, 63);
	assert_true(value_signal("0", &number) < 0);
	assert_true(value_signal("RTMIN+31", &number) < 0);
	assert_true(value_signal("SIGNOPE", &number) < 0);
	/* As systemd has it, and other than on our command line. */
	assert_true(value_signal("term", &number) < 0);
	assert_true(value_signal("sigTERM", &number) < 0);
	assert_int_equal(value_exit_status("TEMPFAIL", &number), 0);
	assert_int_equal(number, 75);
	assert_int_equal(value_exit_status("255", &number), 0);
	assert_true(value_exit_status("256", &number) < 0);
	assert_int_equal(value_capability("cap_net_bind_service", &number), 0);
	assert_int_equal(number, 10);
	assert_int_equal(value_capability("CHECKPOINT_RESTORE", &number), 0);
	assert_int_equal(number, 40);
	assert_true(value_capability("CAP_FLY", &number) < 0);
}

static void test_limits(void **state)
{
	struct limit limit;

	(void)state;
	assert_int_equal(value_limit(RLIMIT_NOFILE, "1024:4096", &limit), 0);
	assert_int_equal(limit.soft, 1024);
	assert_int_equal(limit.hard, 4096);
	assert_int_equal(value_limit(RLIMIT_MEMLOCK, "64M", &limit), 0);
	assert_int_equal(limit.soft, 64 << 20);
	assert_int_equal(value_limit(RLIMIT_CORE, "infinity", &limit), 0);
	assert_true(limit.hard == UINT64_MAX);
	assert_int_equal(value_limit(RLIMIT_CPU, "1min", &limit), 0);
	assert_int_equal(limit.soft, 60);
	assert_int_equal(value_limit(RLIMIT_NICE, "-5", &limit), 0);
	assert_int_equal(limit.soft, 25);
	assert_true(value_limit(RLIMIT_NOFILE, "5:3", &limit) < 0);
	assert_true(value_limit(RLIMIT_NOFILE, "64M", &limit) < 0);
}

static void test_nearest(void **state)
{
	static const char *const names[] = {"Restart", "RestartSec", "ExecStart"};

	(void)state;
	assert_string_equal(value_nearest("Restrat", names, 3), "Restart");
	assert_string_equal(value_nearest("execstart", names, 3), "ExecStart");
	assert_null(value_nearest("Completely", names, 3));
}

/* ---------------------------------------------------------------- names */

static void test_names(void **state)
{
	struct unit_name name = name_parse(&arena, "a-b@x\\x2dy-z.service");

	(void)state;
	assert_int_equal(name.class, NAME_SUPPORTED);
	assert_int_equal(name.kind, UNIT_SERVICE);
	assert_string_equal(name.prefix, "a-b");
	assert_string_equal(name.instance, "x\\x2dy-z");
	assert_string_equal(name_template(&arena, &name), "a-b@.service");
	assert_string_equal(name_unescape(&arena, name.instance), "x-y/z");
	assert_string_equal(name_parse(&arena, "a@.service").instance, "");
	assert_int_equal(name_parse(&arena, "x.timer").class, NAME_FOREIGN);
	assert_int_equal(name_parse(&arena, "x").class, NAME_INVALID);
	assert_int_equal(name_parse(&arena, ".service").class, NAME_INVALID);
	assert_int_equal(name_parse(&arena, "@a.service").class, NAME_INVALID);
	assert_int_equal(name_parse(&arena, "a/b.service").class, NAME_INVALID);
	assert_int_equal(name_parse(&arena, "a b.service").class, NAME_INVALID);
}

static void test_specifiers(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{"%n", "a-b@x-y.service"},
		{"%N", "a-b@x-y"},
		{"%p", "a-b"},
		{"%P", "a/b"},
		{"%i", "x-y"},
		{"%I", "x/y"},
		{"%j", "b"},
		{"%f", "/x/y"},
		{"%t%S%C%L%E", "/run/var/lib/var/cache/var/log/etc"},
		{"%H %l", "h.example h"},
		{"100%%", "100%"},
		{"%u%U%h", "root0/root"},
		{"%Y", "/etc/x"},
	};
	struct source source = {.root_fd = -1, .arena = &arena};
	struct unit_name name = name_parse(&arena, "a-b@x-y.service");
	struct specifier_context context = {&arena, &source, &name, "/etc/x/a-b@.service",
					    "h.example"};
	char *text;
	size_t offset;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_int_equal(specifier_expand(&context, rows[i].text, &text, &offset), 0);
		assert_string_equal(text, rows[i].expected);
	}
	assert_int_equal(specifier_expand(&context, "ab%Z", &text, &offset), -EINVAL);
	assert_int_equal(offset, 2);
	assert_int_equal(specifier_expand(&context, "%", &text, &offset), -EINVAL);
	/* No machine id can be had from a source without files. */
	assert_int_equal(specifier_expand(&context, "%m", &text, &offset), -EINVAL);
}

/* ---------------------------------------------------------------- environment files */

static unsigned n_complaints, last_complaint;

static void complain(void *context, unsigned line, const char *message)
{
	(void)context;
	assert_non_null(message);
	n_complaints++;
	last_complaint = line;
}

static void test_environment_files(void **state)
{
	static const char text[] = "# comment\nA=plain text  \n;x\nB='single $x \\n\nline two'\n"
				   "C=\"double \\\"q\\\" \\$ \\n\"\nD=a\\ b\\\nc\nE = spaced\n"
				   "F=\"a\"'b'c\nnonsense\n1X=y\nA=again\nG=\n";
	struct strings environment = {0};

	(void)state;
	n_complaints = 0;
	environment_read(&arena, text, &environment, complain, NULL);
	assert_string_equal(environment_get(&environment, "A", 1), "again");
	assert_string_equal(environment_get(&environment, "B", 1), "single $x \\n\nline two");
	assert_string_equal(environment_get(&environment, "C", 1), "double \"q\" $ \\n");
	assert_string_equal(environment_get(&environment, "D", 1), "a bc");
	assert_string_equal(environment_get(&environment, "E", 1), "spaced");
	assert_string_equal(environment_get(&environment, "F", 1), "abc");
	assert_string_equal(environment_get(&environment, "G", 1), "");
	assert_int_equal(environment.count, 7);
	assert_int_equal(n_complaints, 2);
	assert_int_equal(last_complaint, 12);
	environment_unset(&environment, "A");
	assert_null(environment_get(&environment, "A", 1));
	environment_unset(&environment, "F=other");
	assert_non_null(environment_get(&environment, "F", 1));
	environment_unset(&environment, "F=abc");
	assert_null(environment_get(&environment, "F", 1));
}

/* ---------------------------------------------------------------- files below a root */

struct tree {
	char path[64];
	int fd;
};

static void make_tree(struct tree *tree)
{
	strcpy(tree->path, "/tmp/holdfast-test-XXXXXX");
	assert_non_null(mkdtemp(tree->path));
	tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree->fd >= 0);
	assert_int_equal(mkdirat(tree->fd, "etc", 0755), 0);
	assert_int_equal(mkdirat(tree->fd, "etc/sub", 0755), 0);
	int fd = openat(tree->fd, "etc/file", O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "inside", 6), 6);
	close(fd);
	/* Every way out that a link can try. */
	assert_int_equal(symlinkat("/etc/file", tree->fd, "absolute"), 0);
	assert_int_equal(symlinkat("../../../../../etc/file", tree->fd, "etc/up"), 0);
	assert_int_equal(symlinkat("/etc/passwd", tree->fd, "etc/outside"), 0);
	assert_int_equal(symlinkat("loop", tree->fd, "loop"), 0);
	assert_int_equal(symlinkat("/etc", tree->fd, "folder"), 0);
	assert_int_equal(mkfifoat(tree->fd, "fifo", 0600), 0);
}

static void remove_tree(struct tree *tree)
{
	static const char *const names[] = {"etc/file", "absolute", "etc/up", "etc/outside",
					    "loop",	"folder",   "fifo"};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		assert_int_equal(unlinkat(tree->fd, names[i], 0), 0);
	assert_int_equal(unlinkat(tree->fd, "etc/sub", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(tree->fd, "etc", AT_REMOVEDIR), 0);
	close(tree->fd);
	assert_int_equal(rmdir(tree->path), 0);
}

static void check_source(struct source *source)
{
	static const char *const inside[] = {
		"/etc/file",	"etc/file",	    "/absolute",	 "/etc/up",
		"/folder/file", "/etc/sub/../file", "/../../etc/./file", "//etc//file"};
	struct strings names;
	char *text, *path;
	size_t size;

	for (size_t i = 0; i < ARRAY_COUNT(inside); i++) {
		assert_int_equal(source_read(source, inside[i], 100, &text, &size), 0);
		assert_string_equal(text, "inside");
		assert_int_equal(source_resolve(source, inside[i], &path), 0);
		assert_string_equal(path, "/etc/file");
	}
	assert_int_equal(source_read(source, "/etc/outside", 100, &text, &size), -ENOENT);
	assert_int_equal(source_read(source, "/loop", 100, &text, &size), -ELOOP);
	assert_int_equal(source_read(source, "/fifo", 100, &text, &size), -ENOTTY);
	assert_int_equal(source_read(source, "/etc/file", 5, &text, &size), -EFBIG);
	assert_int_equal(source_read(source, "/etc/file/x", 5, &text, &size), -ENOTDIR);
	assert_int_equal(source_read(source, "/etc/file/", 100, &text, &size), -ENOTDIR);
	assert_int_equal(source_read(source, "/absolute/", 100, &text, &size), -ENOTDIR);
	assert_int_equal(source_read(source, "/etc/file/../file", 100, &text, &size), -ENOTDIR);
	assert_int_equal(source_link(source, "/folder/", &text), -EINVAL);
	assert_int_equal(source_link(source, "/etc/outside", &text), 0);
	assert_string_equal(text, "/etc/passwd");
	assert_int_equal(source_link(source, "/etc/file", &text), -EINVAL);
	assert_int_equal(source_list(source, "/folder", &names, NULL), 0);
	assert_int_equal(names.count, 4);
	assert_string_equal(names.items[0], "file");
	assert_string_equal(names.items[3], "up");
	assert_int_equal(source_list(source, "/etc/file", &names, NULL), -ENOTDIR);
	assert_int_equal(source_executable(source, "/etc/file"), -EACCES);
}

/* By openat2 and by the walk for kernels without it: the same answers. */
static void test_no_link_leads_out(void **state)
{
	struct source source;
	struct tree tree;

	(void)state;
	make_tree(&tree);
	assert_int_equal(source_init(&source, tree.fd, &arena), 0);
	check_source(&source);
	source.has_no_openat2 = true;
	check_source(&source);
	source_finish(&source);
	remove_tree(&tree);
}

/* A jump instead of a pointer that nobody checked. */
static void test_an_arena_has_a_limit(void **state)
{
	struct arena small;
	volatile int n = 0;

	(void)state;
	arena_init(&small, 1U << 20);
	if (setjmp(small.on_failure) == 0) {
		for (;;) {
			memset(arena_alloc(&small, 1000), 1, 1000);
			n++;
		}
	}
	assert_in_range(n, 500, 1100);
	arena_finish(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_continuation, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_value_that_begins_on_the_next_line, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_line_errors, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_words_that_are_wrong, set_up, tear_down),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_signals_and_statuses),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_specifiers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_environment_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_link_leads_out, set_up, tear_down),
		cmocka_unit_test(test_an_arena_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
