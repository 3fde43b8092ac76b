/* TESTS: lib/mountinfo.c lib/io.c lib/fd.c lib/str.c lib/sys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/mountinfo.h"

static struct mountinfo parse(const char *text)
{
	struct mountinfo info;

	assert_int_equal(mountinfo_parse(strdup(text), &info), 0);
	return info;
}

static void test_a_plain_line(void **state)
{
	struct mountinfo info = parse(
		"36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 - ext4 /dev/root rw,errors=continue\n");

	(void)state;
	assert_int_equal(info.count, 1);
	assert_int_equal(info.entries[0].id, 36);
	assert_int_equal(info.entries[0].major, 98);
	assert_int_equal(info.entries[0].minor, 0);
	assert_string_equal(info.entries[0].root, "/mnt1");
	assert_string_equal(info.entries[0].point, "/mnt2");
	assert_string_equal(info.entries[0].options, "rw,noatime");
	assert_string_equal(info.entries[0].type, "ext4");
	assert_true(info.entries[0].is_shared);
	assert_true(info.entries[0].is_writable);
	mountinfo_finish(&info);
}

static void test_read_only_by_mount_or_by_file_system(void **state)
{
	struct mountinfo info = parse("1 0 0:1 / /a ro,nosuid - tmpfs tmpfs rw\n"
				      "2 0 0:2 / /b rw - squashfs /dev/loop0 ro,errors=continue\n"
				      "3 0 0:3 / /c rw,errors=remount-ro - ext4 /dev/sda rw\n");

	(void)state;
	assert_int_equal(info.count, 3);
	assert_false(info.entries[0].is_writable);
	assert_false(info.entries[1].is_writable);
	assert_true(info.entries[2].is_writable);
	mountinfo_finish(&info);
}

static void test_any_number_of_optional_fields(void **state)
{
	struct mountinfo info =
		parse("1 0 0:1 / /none rw - tmpfs tmpfs rw\n"
		      "2 0 0:1 / /two rw master:2 propagate_from:1 - tmpfs tmpfs rw\n");

	(void)state;
	assert_int_equal(info.count, 2);
	assert_false(info.entries[0].is_shared);
	assert_false(info.entries[1].is_shared);
	mountinfo_finish(&info);
}

static void test_escapes_are_undone(void **state)
{
	struct mountinfo info = parse("1 0 0:1 / /a\\040b\\134c\\011\\x rw - tmpfs tmpfs rw\n");

	(void)state;
	assert_string_equal(info.entries[0].point, "/a b\\c\t\\x");
	mountinfo_finish(&info);
}

static void test_the_topmost_is_found(void **state)
{
	struct mountinfo info = parse("1 0 0:1 / /a rw - tmpfs tmpfs rw\n"
				      "2 1 0:2 / /a rw - ramfs ramfs rw\n"
				      "3 1 0:3 / /ab rw - proc proc rw\n");

	(void)state;
	assert_string_equal(mountinfo_find(&info, "/a")->type, "ramfs");
	assert_null(mountinfo_find(&info, "/"));
	mountinfo_finish(&info);
}

static void test_what_has_another_shape_is_passed_over(void **state)
{
	struct mountinfo info = parse("\n1 0\n1 0 0:1 / /a rw\n1 0 0:1 / /a rw - \n"
				      "1 0 0:1 / /a rw - tmpfs\nx 0 0:1 / /a rw - tmpfs t rw\n"
				      "1 0 0 / /a rw - tmpfs t rw\n1 0 0:1 / /ok rw - tmpfs  rw");

	(void)state;
	assert_int_equal(info.count, 1);
	assert_string_equal(info.entries[0].point, "/ok");
	mountinfo_finish(&info);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_line),
		cmocka_unit_test(test_read_only_by_mount_or_by_file_system),
		cmocka_unit_test(test_any_number_of_optional_fields),
		cmocka_unit_test(test_escapes_are_undone),
		cmocka_unit_test(test_the_topmost_is_found),
		cmocka_unit_test(test_what_has_another_shape_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
