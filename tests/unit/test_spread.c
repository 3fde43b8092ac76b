/* TESTS: supervisor/spread.c lib/clock.c lib/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/clock.h"
#include "supervisor/spread.h"

#define S   USEC_PER_SEC
#define NOW (1000 * S)

/* Draws are taken modulo the bound, so the largest below it shows where it is. */
static void test_the_bound_of_tries_doubles_up_to_the_most(void **state)
{
	static const uint64_t bounds[] = {1 * S, 2 * S, 4 * S, 8 * S, 16 * S, 20 * S, 20 * S};

	(void)state;
	for (uint32_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		assert_int_equal(spread_backoff(i + 1, 20 * S, 0, bounds[i] - 1), bounds[i] - 1);
		/* Full jitter reaches down to nearly nothing. */
		assert_int_equal(spread_backoff(i + 1, 20 * S, 0, bounds[i]), 50 * USEC_PER_MSEC);
	}
	assert_int_equal(spread_backoff(UINT32_MAX, 60 * S, 0, 60 * S - 1), 60 * S - 1);
}

static void test_what_the_service_asked_for_is_the_least(void **state)
{
	(void)state;
	assert_int_equal(spread_backoff(1, 20 * S, 7000, 0), 7 * S + 50 * USEC_PER_MSEC);
	assert_int_equal(spread_backoff(1, 20 * S, 7000, S - 1), 8 * S - 1);
}

static void test_looks_have_a_tenth_more_or_less(void **state)
{
	(void)state;
	assert_int_equal(spread_look(300 * S, 0), 270 * S);
	assert_int_equal(spread_look(300 * S, 30 * S), 300 * S);
	assert_int_equal(spread_look(300 * S, 60 * S - 1), 330 * S - 1);
	assert_int_equal(spread_look(300 * S, 60 * S), 270 * S);
	assert_int_equal(spread_look(1, 7), 1);
}

static void test_a_change_is_applied_within_the_splay(void **state)
{
	(void)state;
	assert_int_equal(spread_change(USEC_INFINITY, NOW, 30 * S, 0), NOW);
	assert_int_equal(spread_change(USEC_INFINITY, NOW, 30 * S, 30 * S), NOW + 30 * S);
	assert_int_equal(spread_change(USEC_INFINITY, NOW, 30 * S, 30 * S + 1), NOW);
	assert_int_equal(spread_change(USEC_INFINITY, NOW, 0, 12345), NOW);
	assert_true(spread_change(USEC_INFINITY, NOW, UINT64_MAX, UINT64_MAX) == USEC_INFINITY);
}

static void test_another_change_puts_none_off(void **state)
{
	(void)state;
	assert_int_equal(spread_change(NOW + 5 * S, NOW, 30 * S, 20 * S), NOW + 5 * S);
	assert_int_equal(spread_change(NOW + 5 * S, NOW, 30 * S, 2 * S), NOW + 2 * S);
}

/* Of many draws each fifth of the splay gets its part. */
static void test_draws_differ(void **state)
{
	unsigned fifths[5] = {0};

	(void)state;
	for (int i = 0; i < 500; i++) {
		uint64_t at = spread_change(USEC_INFINITY, NOW, 30 * S - 1, spread_draw());
		fifths[(at - NOW) / (6 * S)]++;
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(fifths[i], 30, 250);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_bound_of_tries_doubles_up_to_the_most),
		cmocka_unit_test(test_what_the_service_asked_for_is_the_least),
		cmocka_unit_test(test_looks_have_a_tenth_more_or_less),
		cmocka_unit_test(test_a_change_is_applied_within_the_splay),
		cmocka_unit_test(test_another_change_puts_none_off),
		cmocka_unit_test(test_draws_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
