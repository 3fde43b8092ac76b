/*
 * TESTS: init/boot/sysctl.c lib/fd.c lib/io.c lib/sys.c
 *
 * Below a folder in /proc/sys's place, and on the real one where nothing changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/boot/sysctl.h"
#include "lib/io.h"

static char folder[] = "/tmp/holdfast-sysctl-XXXXXX";
static int dirfd_;

static void put(const char *name, const char *text)
{
	int fd = openat(dirfd_, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
}

static void assert_reads(const char *name, const char *expected)
{
	char text[64];

	assert_true(io_read_file(dirfd_, name, text, sizeof(text)) >= 0);
	assert_string_equal(text, expected);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	dirfd_ = open(folder, O_RDONLY | O_DIRECTORY);
	return dirfd_ < 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlinkat(dirfd_, "a", 0);
	(void)close(dirfd_);
	return rmdir(folder);
}

static void test_what_reads_right_is_not_written(void **state)
{
	(void)state;
	put("a", "4096\t131072  6291456\n");
	assert_int_equal(fchmodat(dirfd_, "a", 0444, 0), 0);
	assert_int_equal(sysctl_set(dirfd_, "a", "4096 131072 6291456"), 0);
	assert_reads("a", "4096\t131072  6291456\n");
	assert_int_equal(fchmodat(dirfd_, "a", 0644, 0), 0);
}

static void test_what_reads_otherwise_is_written_and_read_back(void **state)
{
	(void)state;
	put("a", "1\n");
	assert_int_equal(sysctl_set(dirfd_, "a", "0"), 0);
	/* A file keeps what was behind; the kernel would not. */
	assert_reads("a", "0\n");
	put("a", "12");
	assert_int_equal(sysctl_set(dirfd_, "a", "1"), -EINVAL);
}

static void test_one_that_does_not_exist(void **state)
{
	(void)state;
	assert_int_equal(sysctl_set(dirfd_, "b", "1"), -ENOENT);
	assert_int_equal(sysctl_set(dirfd_, "b/c", "1"), -ENOENT);
}

static void test_words_are_compared_whole(void **state)
{
	(void)state;
	put("a", "1 2 3");
	assert_int_equal(sysctl_set(dirfd_, "a", "1 2 3"), 0);
	put("a", "10");
	assert_int_equal(sysctl_set(dirfd_, "a", "1"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_reads_right_is_not_written),
		cmocka_unit_test(test_what_reads_otherwise_is_written_and_read_back),
		cmocka_unit_test(test_one_that_does_not_exist),
		cmocka_unit_test(test_words_are_compared_whole),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
