/* TESTS: gate/pending.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gate/pending.h"

static struct gateboard record;

static int clear(void **state)
{
	(void)state;
	memset(&record, 0, sizeof(record));
	return 0;
}

static void test_what_was_set_is_taken_once(void **state)
{
	(void)state;
	assert_false(pending_take(&record, 7));
	pending_set(&record, 7);
	assert_false(pending_take(&record, 8));
	assert_true(pending_take(&record, 7));
	assert_false(pending_take(&record, 7));
	pending_set(&record, 7);
	pending_set(&record, 7);
	assert_true(pending_take(&record, 7));
	assert_false(pending_take(&record, 7));
}

static void test_a_thousand_at_once(void **state)
{
	(void)state;
	for (int32_t pid = 30000; pid < 31000; pid++)
		pending_set(&record, pid);
	for (int32_t pid = 30000; pid < 31000; pid++)
		assert_true(pending_take(&record, pid));
}

/* Executions that failed have left theirs: who comes later finds room. */
static void test_what_was_left_behind_gives_way(void **state)
{
	(void)state;
	for (int32_t pid = 1; pid <= 20 * GATE_PENDING_MAX; pid++)
		pending_set(&record, pid);
	pending_set(&record, 99999);
	pending_set(&record, 99999 + GATE_PENDING_MAX);
	assert_true(pending_take(&record, 99999));
	assert_true(pending_take(&record, 99999 + GATE_PENDING_MAX));
	assert_false(pending_take(&record, 1));
}

/* There is none, whatever is free. */
static void test_pid_0(void **state)
{
	(void)state;
	assert_false(pending_take(&record, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_what_was_set_is_taken_once, clear),
		cmocka_unit_test_setup(test_a_thousand_at_once, clear),
		cmocka_unit_test_setup(test_what_was_left_behind_gives_way, clear),
		cmocka_unit_test_setup(test_pid_0, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
