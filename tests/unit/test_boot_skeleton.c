/* TESTS: init/boot/skeleton.c lib/fd.c lib/str.c lib/sys.c */
/* Folders are copied with owner and mode; files, links and what is too much are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/boot/skeleton.h"

struct fixture {
	char path[64];
	int from, to;
};

static int open_at(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	return fd;
}

static void make(int at, const char *name, mode_t mode)
{
	assert_int_equal(mkdirat(at, name, 0700), 0);
	assert_int_equal(fchmodat(at, name, mode, 0), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)snprintf(f->path, sizeof(f->path), "/tmp/skeleton-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	int fd = open_at(AT_FDCWD, f->path);
	make(fd, "from", 0750);
	make(fd, "to", 0755);
	f->from = open_at(fd, "from");
	f->to = open_at(fd, "to");
	(void)close(fd);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	(void)close(f->from);
	(void)close(f->to);
	int r = system(command);
	free(f);
	return r;
}

static mode_t mode_of(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode;
}

static void folders_come_with_their_modes(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	make(f->from, "log", 02750);
	make(f->from, "log/deep", 01777);
	assert_int_equal(skeleton_copy(f->from, f->to), 0);
	assert_int_equal(mode_of(f->to, "log"), S_IFDIR | 02750);
	assert_int_equal(mode_of(f->to, "log/deep"), S_IFDIR | 01777);
	assert_int_equal(fstat(f->to, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0750);
}

static void owners_come_too(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	if (geteuid() != 0)
		skip();
	make(f->from, "redis", 02770);
	assert_int_equal(fchownat(f->from, "redis", 980, 981, 0), 0);
	assert_int_equal(fchmodat(f->from, "redis", 02770, 0), 0);
	assert_int_equal(skeleton_copy(f->from, f->to), 0);
	assert_int_equal(fstatat(f->to, "redis", &st, 0), 0);
	assert_int_equal(st.st_uid, 980);
	assert_int_equal(st.st_gid, 981);
	assert_int_equal(st.st_mode, S_IFDIR | 02770);
}

static void files_and_links_do_not(void **state)
{
	struct fixture *f = *state;

	int fd = openat(f->from, "file", O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(symlinkat("/etc", f->from, "link"), 0);
	assert_int_equal(skeleton_copy(f->from, f->to), 0);
	assert_int_equal(mode_of(f->to, "file"), 0);
	assert_int_equal(mode_of(f->to, "link"), 0);
}

static void depth_is_bounded(void **state)
{
	struct fixture *f = *state;
	int at = dup(f->from);

	for (int i = 0; i < 33; i++) {
		make(at, "d", 0755);
		int next = open_at(at, "d");
		(void)close(at);
		at = next;
	}
	(void)close(at);
	assert_int_equal(skeleton_copy(f->from, f->to), -E2BIG);
}

static void width_is_bounded(void **state)
{
	struct fixture *f = *state;
	char name[16];

	for (int i = 0; i < 4097; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		make(f->from, name, 0755);
	}
	assert_int_equal(skeleton_copy(f->from, f->to), -E2BIG);
}

static void what_lies_there_already_is_an_error(void **state)
{
	struct fixture *f = *state;

	make(f->from, "a", 0755);
	make(f->to, "a", 0755);
	assert_int_equal(skeleton_copy(f->from, f->to), -EEXIST);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(folders_come_with_their_modes),
		TEST(owners_come_too),
		TEST(files_and_links_do_not),
		TEST(depth_is_bounded),
		TEST(width_is_bounded),
		TEST(what_lies_there_already_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
