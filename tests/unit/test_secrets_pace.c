/* TESTS: secrets/pace.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "secrets/pace.h"

#define MS UINT64_C(1000)

static void test_the_bound_doubles_up_to_the_largest(void **state)
{
	static const uint32_t bounds_ms[] = {1000, 2000, 4000, 8000, 16000, 20000, 20000};

	(void)state;
	for (unsigned i = 0; i < sizeof(bounds_ms) / sizeof(bounds_ms[0]); i++) {
		assert_int_equal(pace_jitter_ms(i, PACE_MAX_MS, bounds_ms[i]), bounds_ms[i]);
		assert_int_equal(pace_jitter_ms(i, PACE_MAX_MS, bounds_ms[i] + 1), 0);
	}
	assert_int_equal(pace_jitter_ms(UINT32_MAX, PACE_MAX_MS, 20000), 20000);
	assert_int_equal(pace_jitter_ms(0, 10, 10), 10);
	assert_int_equal(pace_jitter_ms(0, 10, 11), 0);
}

static void test_one_call_comes_back_and_answers_open_the_window(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 4);
	assert_int_equal(pace.window, 4);
	assert_int_equal(pace_throttled(&pace, 1000 * MS, 700, 0), 1700 * MS);
	assert_int_equal(pace.window, 1);
	pace_answered(&pace);
	assert_int_equal(pace.window, 2);
	for (int i = 0; i < 5; i++)
		pace_answered(&pace);
	assert_int_equal(pace.window, 4);
}

static void test_calls_sent_together_are_one_failure(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 4);
	uint64_t due = pace_throttled(&pace, 0, 900, 0);
	for (uint64_t now = 1; now < 4; now++)
		assert_int_equal(pace_throttled(&pace, now * MS, 5, 0), due);
	assert_int_equal(pace.throttled, 1);
	/* The second in a row is the first that comes back, and its bound twice as large. */
	assert_int_equal(pace_throttled(&pace, due, 2000, 0), due + 2000 * MS);
	pace_answered(&pace);
	assert_int_equal(pace_throttled(&pace, due + 3000 * MS, 1001, 0), due + 3000 * MS);
}

static void test_who_has_begun_waits_less(void **state)
{
	struct pace pace;
	uint64_t now = 0;

	(void)state;
	pace_init(&pace, 4);
	for (int i = 0; i < 5; i++)
		now = pace_throttled(&pace, now, 1000, 0);
	assert_int_equal(pace_throttled(&pace, now, PACE_MAX_MS, 0), now + PACE_MAX_MS * MS);
	pace_answered(&pace);
	now += (uint64_t)PACE_MAX_MS * MS;
	for (int i = 0; i < 5; i++)
		now = pace_throttled(&pace, now, 1000, 0);
	assert_int_equal(pace_throttled(&pace, now, PACE_BEGUN_MS, 0), now + PACE_BEGUN_MS * MS);
}

static void test_what_the_service_asked_for_is_the_least(void **state)
{
	struct pace pace;

	(void)state;
	pace_init(&pace, 4);
	assert_int_equal(pace_throttled(&pace, 0, 10, 5000), 5000 * MS);
	/* Said by one of those that were under way, it holds for all. */
	assert_int_equal(pace_throttled(&pace, 1 * MS, 10, 9000), 9001 * MS);
	assert_int_equal(pace_throttled(&pace, 2 * MS, 10, 0), 9001 * MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_bound_doubles_up_to_the_largest),
		cmocka_unit_test(test_one_call_comes_back_and_answers_open_the_window),
		cmocka_unit_test(test_calls_sent_together_are_one_failure),
		cmocka_unit_test(test_who_has_begun_waits_less),
		cmocka_unit_test(test_what_the_service_asked_for_is_the_least),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
