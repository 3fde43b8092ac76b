/* TESTS: init/boot/machineid.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "init/boot/machineid.h"

static char id[MACHINE_ID_SIZE];

static void test_what_the_firmware_says(void **state)
{
	(void)state;
	assert_true(machineid_from_uuid("EC2A1B3C-4D5E-6F70-8192-A3B4C5D6E7F8\n", id));
	assert_string_equal(id, "ec2a1b3c4d5e6f708192a3b4c5d6e7f8");
	assert_true(machineid_from_uuid("ec2a1b3c4d5e6f708192a3b4c5d6e7f8", id));
}

static void test_what_is_none(void **state)
{
	static const char *const texts[] = {
		"",
		"\n",
		"Not Settable",
		"ec2a1b3c-4d5e-6f70-8192-a3b4c5d6e7f",
		"ec2a1b3c-4d5e-6f70-8192-a3b4c5d6e7f80",
		"gc2a1b3c-4d5e-6f70-8192-a3b4c5d6e7f8",
		"00000000-0000-0000-0000-000000000000",
		"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n",
		"03000200-0400-0500-0006-000700080009",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(machineid_from_uuid(texts[i], id));
}

static void test_what_is_drawn(void **state)
{
	static const unsigned char zeros[16] = {0},
				   ones[16] = {255, 255, 255, 255, 255, 255, 255, 255,
					       255, 255, 255, 255, 255, 255, 255, 255};

	(void)state;
	machineid_from_random(zeros, id);
	assert_string_equal(id, "00000000000040008000000000000000");
	machineid_from_random(ones, id);
	assert_string_equal(id, "ffffffffffff4fffbfffffffffffffff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_firmware_says),
		cmocka_unit_test(test_what_is_none),
		cmocka_unit_test(test_what_is_drawn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
