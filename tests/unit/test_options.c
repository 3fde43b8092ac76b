/* TESTS: lib/options.c lib/signals.c lib/str.c */
#include "lib/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lib/cleanup.h"

static char message[OPTIONS_MESSAGE_MAX];

static int parse(struct options *ret_options, char **words)
{
	int argc = 0;

	while (words[argc])
		argc++;
	return options_parse(argc, words, ret_options, message);
}

#define WORDS(...) ((char *[]){(char[]){"holdfast"}, __VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_modes(void **state)
{
	struct options options;

	(void)state;
	static const struct {
		const char *words[6];
		enum options_mode mode;
	} rows[] = {
		{{NULL}, OPTIONS_MANAGED},
		{{"--", "cmd"}, OPTIONS_COMMAND},
		{{"-g", "--", "cmd"}, OPTIONS_COMMAND},
		{{"--health", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--health=:80", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--secret", "A=file:/x", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--secret=A=file:/x", "-g", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--config", "A=b", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--scratch", "/s", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--user", "app", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--sandbox", "none", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--as", "web.service", "--", "cmd"}, OPTIONS_MANAGED},
		{{"--conf", "/c", "--units", "/u"}, OPTIONS_MANAGED},
		{{"--stop-timeout=5"}, OPTIONS_MANAGED},
		{{"--health", "-h"}, OPTIONS_HELP},
		{{"-gh"}, OPTIONS_HELP},
		{{"--version", "--health"}, OPTIONS_VERSION},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		char *words[8] = {(char[]){"holdfast"}};
		for (size_t j = 0; rows[i].words[j]; j++)
			words[j + 1] = (char *)(uintptr_t)rows[i].words[j];
		assert_int_equal(parse(&options, words), 0);
		assert_int_equal(options.mode, rows[i].mode);
	}
}

static void test_command_is_what_follows(void **state)
{
	struct options options;
	char cmd[] = "cmd", dashes[] = "--", minus[] = "-g";

	(void)state;
	char **words = WORDS(minus, dashes, cmd, dashes, minus);
	assert_int_equal(parse(&options, words), 0);
	assert_ptr_equal(options.command, &words[3]);
	assert_true(options.is_group);
	assert_int_equal(parse(&options, WORDS()), 0);
	assert_null(options.command);
}

static void test_values(void **state)
{
	struct options options;
	char a[] = "-gw7", b[] = "-e3", c[] = "--remap=143", d[] = "-rTERM:0", e[] = "--rewrite",
	     f[] = "SIGHUP:RTMIN+3", g[] = "-p", h[] = "9", dashes[] = "--", cmd[] = "cmd";

	(void)state;
	assert_int_equal(parse(&options, WORDS(a, b, c, d, e, f, g, h, dashes, cmd)), 0);
	assert_true(options.is_group && options.is_wait_all);
	assert_int_equal(options.grace_s, 7);
	for (int i = 0; i < 256; i++)
		assert_int_equal(options.remap_to_zero[i], i == 3 || i == 143);
	for (int i = 1; i <= SIGNALS_MAX; i++)
		assert_int_equal(options.rewrite[i], i == SIGTERM ? 0 : i == SIGHUP ? 37 : i);
	assert_int_equal(options.rewritten, SIGNALS_BIT(SIGTERM) | SIGNALS_BIT(SIGHUP));
	assert_int_equal(options.pdeath_signal, SIGKILL);
}

static void test_what_a_supervised_command_cannot_have(void **state)
{
	static const struct {
		const char *word;
		int r;
	} rows[] = {
		{"-rTERM:QUIT", 0},    {"-rTERM:TERM", 0},	{"-rINT:QUIT", -EINVAL},
		{"-rTERM:0", -EINVAL}, {"-rHUP:TERM", -EINVAL}, {"-pKILL", 0},
		{"-pTERM", 0},	       {"-pRTMIN+3", 0},	{"-pHUP", -EINVAL},
		{"-pUSR1", -EINVAL},
	};
	struct options options;
	char health[] = "--health", dashes[] = "--", cmd[] = "cmd";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char word[32];
		(void)snprintf(word, sizeof(word), "%s", rows[i].word);
		assert_int_equal(parse(&options, WORDS(word, dashes, cmd)), 0);
		/* Whichever comes first. */
		assert_int_equal(parse(&options, WORDS(health, word, dashes, cmd)), rows[i].r);
		assert_int_equal(parse(&options, WORDS(word, health, dashes, cmd)), rows[i].r);
	}
}

static void test_grace_is_optional(void **state)
{
	static const struct {
		const char *word;
		int r;
		uint32_t grace_s;
	} rows[] = {
		{"-w", 0, 10},
		{"-w0", 0, 0},
		{"-w=3", 0, 3},
		{"--wait-all", 0, 10},
		{"--wait-all=4", 0, 4},
		{"-wg", 0, 10},
		{"-w=", -EINVAL, 0},
		{"-w=4s", -EINVAL, 0},
		{"-w5g", -EINVAL, 0},
		{"-w99999999999", -EINVAL, 0},
		{"--wait-all=-1", -EINVAL, 0},
	};
	struct options options;
	char dashes[] = "--", cmd[] = "cmd", word[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		strcpy(word, rows[i].word);
		assert_int_equal(parse(&options, WORDS(word, dashes, cmd)), rows[i].r);
		if (rows[i].r == 0)
			assert_int_equal(options.grace_s, rows[i].grace_s);
	}
}

static void test_stray_words(void **state)
{
	struct options options;
	char quiet[] = "quiet", dashes[] = "--", cmd[] = "cmd", empty[] = "";

	(void)state;
	/* A host's kernel hands on what it does not know: main decides. */
	assert_int_equal(parse(&options, WORDS(quiet)), 0);
	assert_int_equal(options.mode, OPTIONS_MANAGED);
	assert_ptr_equal(options.stray, quiet);
	assert_int_equal(parse(&options, WORDS(quiet, dashes, cmd)), -EINVAL);
	assert_int_equal(parse(&options, WORDS(empty, dashes, cmd)), -EINVAL);
}

static void test_no_argv_at_all(void **state)
{
	struct options options;
	char *none[] = {NULL};

	(void)state;
	assert_int_equal(options_parse(0, none, &options, message), 0);
	assert_int_equal(options.mode, OPTIONS_MANAGED);
}

static void test_messages_name_the_option(void **state)
{
	struct options options;
	char word[] = "-ge", bad[] = "x", dashes[] = "--", cmd[] = "cmd";

	(void)state;
	assert_int_equal(parse(&options, WORDS(word, bad, dashes, cmd)), -EINVAL);
	assert_string_equal(message, "-ge: expected an exit status from 0 to 255");
	char lengthy[1024];
	memset(lengthy, 'x', sizeof(lengthy) - 1);
	lengthy[0] = lengthy[1] = '-';
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_int_equal(parse(&options, WORDS(lengthy, dashes, cmd)), -EINVAL);
	assert_true(strlen(message) < sizeof(message));
}

static void test_signal_names(void **state)
{
	static const struct {
		const char *text;
		int number;
	} rows[] = {
		{"TERM", 15},
		{"SIGTERM", 15},
		{"sigterm", 15},
		{"15", 15},
		{"1", 1},
		{"64", 64},
		{"RTMIN", 34},
		{"RTMIN+0", 34},
		{"RTMIN+3", 37},
		{"SIGRTMIN+30", 64},
		{"RTMAX", 64},
		{"RTMAX-1", 63},
		{"CLD", 17},
		{"IOT", 6},
		{"POLL", 29},
		{"0", -EINVAL},
		{"65", -EINVAL},
		{"", -EINVAL},
		{"SIG", -EINVAL},
		{"-1", -EINVAL},
		{"RTMIN-1", -EINVAL},
		{"RTMIN+31", -EINVAL},
		{"RTMAX+1", -EINVAL},
		{"RTMIN+", -EINVAL},
		{"15x", -EINVAL},
		{"TERMX", -EINVAL},
		{"SIGSIGTERM", -EINVAL},
		{" TERM", -EINVAL},
		{"99999999999999999999", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		assert_int_equal(signals_parse(rows[i].text), rows[i].number);
}

static void test_signal_names_round_trip(void **state)
{
	char name[SIGNALS_NAME_SIZE];

	(void)state;
	for (int i = 1; i <= SIGNALS_MAX; i++) {
		signals_name(i, name);
		assert_int_equal(signals_parse(name), i);
	}
}

static void test_what_is_forwarded(void **state)
{
	static const int never[] = {SIGSEGV, SIGILL, SIGFPE,  SIGBUS,  SIGTRAP,
				    SIGABRT, SIGSYS, SIGKILL, SIGSTOP, SIGCHLD};

	(void)state;
	for (int i = -1; i <= SIGNALS_MAX + 1; i++) {
		bool expected = i >= 1 && i <= SIGNALS_MAX;
		for (size_t j = 0; j < ARRAY_COUNT(never); j++)
			expected = expected && never[j] != i;
		assert_int_equal(signals_is_forwarded(i), expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_command_is_what_follows),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_what_a_supervised_command_cannot_have),
		cmocka_unit_test(test_grace_is_optional),
		cmocka_unit_test(test_stray_words),
		cmocka_unit_test(test_no_argv_at_all),
		cmocka_unit_test(test_messages_name_the_option),
		cmocka_unit_test(test_signal_names),
		cmocka_unit_test(test_signal_names_round_trip),
		cmocka_unit_test(test_what_is_forwarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
