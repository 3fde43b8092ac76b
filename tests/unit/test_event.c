/*
 * TESTS: lib/event.c lib/json.c lib/str.c lib/clock.c
 *
 * Lines that wait in a box: which wake their reader when, and that none is lost unsaid.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/event.h"

static struct event_box box;
static int reader, real_stderr;

static int begin(void **state)
{
	int ends[2];

	(void)state;
	memset(&box, 0, sizeof(box));
	real_stderr = dup(STDERR_FILENO);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	(void)dup2(ends[1], STDERR_FILENO);
	(void)close(ends[1]);
	reader = ends[0];
	event_init("test", EVENT_JSON);
	event_hold(&box);
	return 0;
}

static int end(void **state)
{
	(void)state;
	event_hold(NULL);
	(void)dup2(real_stderr, STDERR_FILENO);
	(void)close(real_stderr);
	return close(reader);
}

/* What was written by now, and how many lines that is. */
static size_t read_lines(char text[65536 + 1])
{
	size_t n_lines = 0;
	ssize_t n = read(reader, text, 65536);

	text[n > 0 ? n : 0] = '\0';
	for (const char *at = strchr(text, '\n'); at; at = strchr(at + 1, '\n'))
		n_lines++;
	return n_lines;
}

static char text[65536 + 1];

static void test_lines_wait_for_the_flush(void **state)
{
	(void)state;
	event_init("test", EVENT_PLAIN);
	event_emit(EVENT_INFO, "one", NULL, "1");
	event_emit(EVENT_INFO, "two", NULL, "2");
	assert_int_equal(read_lines(text), 0);
	errno = ENOTTY;
	event_flush();
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(read_lines(text), 2);
	assert_string_equal(text, "holdfast: 1\nholdfast: 2\n");
	event_flush();
	assert_int_equal(read_lines(text), 0);
}

static void test_a_warning_waits_for_nothing_and_keeps_its_place(void **state)
{
	(void)state;
	event_emit(EVENT_INFO, "one", NULL, "1");
	event_emit(EVENT_WARNING, "two", NULL, "2");
	assert_int_equal(read_lines(text), 2);
	assert_true(strstr(text, "\"one\"") < strstr(text, "\"two\""));
}

static void test_a_full_box_is_written(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++)
		event_emit(EVENT_INFO, "line", NULL, "%d", i);
	size_t before = read_lines(text);
	assert_in_range(before, 1, 199);
	event_flush();
	assert_int_equal(before + read_lines(text), 200);
}

static void test_who_takes_the_box_over_writes_what_is_in_it(void **state)
{
	(void)state;
	event_emit(EVENT_INFO, "one", NULL, "1");
	event_hold(NULL); /* and dies */
	assert_int_equal(read_lines(text), 0);
	event_hold(&box);
	event_flush();
	assert_int_equal(read_lines(text), 1);
}

static void test_a_fork_writes_its_own_at_once(void **state)
{
	(void)state;
	event_emit(EVENT_INFO, "one", NULL, "1");
	event_hold(NULL);
	event_emit(EVENT_INFO, "two", NULL, "2");
	assert_int_equal(read_lines(text), 1);
	assert_non_null(strstr(text, "\"two\""));
}

static void fill_pipe(void)
{
	static const char zeros[4096];

	while (write(STDERR_FILENO, zeros, sizeof(zeros)) > 0)
		;
}

static void drain_pipe(void)
{
	while (read(reader, text, sizeof(text)) > 0)
		;
}

static void test_a_full_pipe_keeps_the_box_and_then_counts_what_is_lost(void **state)
{
	unsigned long lost = 0;

	(void)state;
	fill_pipe();
	event_emit(EVENT_WARNING, "kept", NULL, "kept");
	drain_pipe();
	event_flush();
	assert_int_equal(read_lines(text), 1);
	assert_non_null(strstr(text, "kept"));
	assert_null(strstr(text, "lost"));

	fill_pipe();
	for (int i = 0; i < 1000; i++)
		event_emit(EVENT_INFO, "line", NULL, "%d", i);
	drain_pipe();
	event_flush();
	size_t n = read_lines(text);
	for (const char *at = strstr(text, "\"lost\":"); at; at = strstr(at + 1, "\"lost\":")) {
		assert_int_equal(sscanf(at, "\"lost\":%lu", &lost), 1);
		n += lost;
	}
	assert_int_equal(n, 1000);
}

static int n_before;

static void note_before(void)
{
	n_before += read_lines(text) == 0;
}

/* Once for all lines that waited, and before the first of them. */
static void test_what_lines_tell_of_is_done_before(void **state)
{
	(void)state;
	event_before_flush(note_before);
	event_flush();
	assert_int_equal(n_before, 0);
	event_emit(EVENT_INFO, "one", NULL, "1");
	event_emit(EVENT_WARNING, "two", NULL, "2");
	assert_int_equal(n_before, 1);
	assert_int_equal(read_lines(text), 2);
	event_before_flush(NULL);
}

static void test_a_box_that_says_nonsense_is_empty(void **state)
{
	(void)state;
	box.length = UINT32_MAX;
	event_hold(&box);
	event_flush();
	assert_int_equal(read_lines(text), 0);
	event_emit(EVENT_WARNING, "one", NULL, "1");
	assert_int_equal(read_lines(text), 1);
}

/* What stands in the kernel's log has structure whatever stderr looks like, and no time of its own. */
static void test_copy_to_kernel_log(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	event_hold(NULL);
	event_init("test", EVENT_PLAIN);
	event_copy_to_kernel_log(fds[1]);
	event_with_i64("n", 5);
	event_emit(EVENT_WARNING, "kind", NULL, "it %s", "happened");
	ssize_t n = read(fds[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text,
			    "<31>test: {\"level\":\"warning\",\"event\":\"kind\",\"by\":\"test\","
			    "\"n\":5,\"msg\":\"it happened\"}");
	/* The kernel takes no record of more than 1024 bytes. */
	memset(text, 'x', 1023);
	text[1023] = '\0';
	event_emit(EVENT_INFO, "long", NULL, "%s", text);
	assert_true(read(fds[0], text, sizeof(text)) < 1024);
	event_copy_to_kernel_log(-1);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_wait_for_the_flush, begin, end),
		cmocka_unit_test_setup_teardown(
			test_a_warning_waits_for_nothing_and_keeps_its_place, begin, end),
		cmocka_unit_test_setup_teardown(test_a_full_box_is_written, begin, end),
		cmocka_unit_test_setup_teardown(test_who_takes_the_box_over_writes_what_is_in_it,
						begin, end),
		cmocka_unit_test_setup_teardown(test_a_fork_writes_its_own_at_once, begin, end),
		cmocka_unit_test_setup_teardown(
			test_a_full_pipe_keeps_the_box_and_then_counts_what_is_lost, begin, end),
		cmocka_unit_test_setup_teardown(test_what_lines_tell_of_is_done_before, begin, end),
		cmocka_unit_test_setup_teardown(test_a_box_that_says_nonsense_is_empty, begin, end),
		cmocka_unit_test_setup_teardown(test_copy_to_kernel_log, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
