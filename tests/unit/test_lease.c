/* TESTS: secrets/lease.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "secrets/lease.h"

#define S   UINT64_C(1000000)
#define NOW (1000 * S)

static void test_renewable_is_due_at_two_thirds_and_a_jitter(void **state)
{
	struct lease lease;

	(void)state;
	lease_start(&lease, NOW, 3600, true, 0);
	assert_int_equal(lease.due_us, NOW + 2400 * S);
	assert_int_equal(lease.end_us, NOW + 3600 * S);
	lease_start(&lease, NOW, 3600, true, UINT32_MAX);
	assert_in_range(lease.due_us, NOW + 2755 * S, NOW + 2760 * S);
	lease_start(&lease, NOW, 3600, true, UINT32_MAX / 2);
	assert_in_range(lease.due_us, NOW + 2575 * S, NOW + 2585 * S);
}

static void test_not_renewable_is_due_at_85_percent(void **state)
{
	struct lease lease;

	(void)state;
	lease_start(&lease, NOW, 1000, false, 0);
	assert_int_equal(lease.due_us, NOW + 825 * S);
	lease_start(&lease, NOW, 1000, false, UINT32_MAX);
	assert_in_range(lease.due_us, NOW + 874 * S, NOW + 875 * S);
	lease_start(&lease, NOW, 1000, false, UINT32_MAX / 2);
	assert_in_range(lease.due_us, NOW + 849 * S, NOW + 851 * S);
}

static void test_no_seconds_are_for_ever(void **state)
{
	struct lease lease;

	(void)state;
	lease_start(&lease, NOW, 0, false, 7);
	assert_true(lease.due_us == LEASE_FOREVER && lease.end_us == LEASE_FOREVER);
	assert_false(lease_is_due(&lease, UINT64_MAX - 1));
	assert_false(lease_has_ended(&lease, UINT64_MAX - 1));
	assert_true(lease_is_sound(&lease));
	assert_true(lease_ms_until(lease.end_us, NOW) == UINT64_MAX);
}

static void test_a_century_is_the_most(void **state)
{
	struct lease lease;

	(void)state;
	lease_start(&lease, NOW, UINT64_MAX, true, UINT32_MAX);
	assert_int_equal(lease.end_us, NOW + LEASE_SECONDS_MAX * S);
	assert_true(lease_is_sound(&lease) && lease.due_us < lease.end_us);
	lease_start(&lease, NOW, UINT64_MAX, false, UINT32_MAX);
	assert_true(lease_is_sound(&lease) && lease.due_us < lease.end_us);
}

/* An hour that may be held for two: renewed twice, and then the maximum shows. */
static void test_a_capped_renewal_no_longer_extends(void **state)
{
	struct lease lease;

	(void)state;
	lease_start(&lease, NOW, 3600, true, 0);
	assert_true(lease_renew(&lease, NOW + 2400 * S, 3600, 0));
	assert_int_equal(lease.due_us, NOW + 4800 * S);
	assert_true(lease_renew(&lease, NOW + 4800 * S, 2400, 0));
	assert_int_equal(lease.due_us, NOW + 6400 * S);
	assert_false(lease_renew(&lease, NOW + 6400 * S, 800, 0));
	assert_int_equal(lease.end_us, NOW + 7200 * S);
	/* Not at all, and shorter than before. */
	assert_false(lease_renew(&lease, NOW + 6400 * S, 0, 0));
	assert_true(lease_has_ended(&lease, NOW + 6400 * S));
}

static void test_milliseconds_are_rounded_up(void **state)
{
	(void)state;
	assert_int_equal(lease_ms_until(NOW, NOW), 0);
	assert_int_equal(lease_ms_until(NOW - 1, NOW), 0);
	assert_int_equal(lease_ms_until(NOW + 1, NOW), 1);
	assert_int_equal(lease_ms_until(NOW + 2 * S, NOW), 2000);
}

static void test_times_out_of_order_are_not_sound(void **state)
{
	struct lease lease;

	(void)state;
	lease_start(&lease, NOW, 60, true, 0);
	assert_true(lease_is_sound(&lease));
	lease.due_us = lease.end_us + 1;
	assert_false(lease_is_sound(&lease));
	lease_start(&lease, NOW, 60, true, 0);
	lease.end_us = LEASE_FOREVER;
	assert_false(lease_is_sound(&lease));
	lease_start(&lease, NOW, 60, true, 0);
	lease.from_us = lease.due_us + 1;
	assert_false(lease_is_sound(&lease));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_renewable_is_due_at_two_thirds_and_a_jitter),
		cmocka_unit_test(test_not_renewable_is_due_at_85_percent),
		cmocka_unit_test(test_no_seconds_are_for_ever),
		cmocka_unit_test(test_a_century_is_the_most),
		cmocka_unit_test(test_a_capped_renewal_no_longer_extends),
		cmocka_unit_test(test_milliseconds_are_rounded_up),
		cmocka_unit_test(test_times_out_of_order_are_not_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
