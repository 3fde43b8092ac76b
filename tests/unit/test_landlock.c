/* TESTS: lib/landlock.c lib/fd.c lib/sys.c */
#include "lib/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

#define READING (LANDLOCK_READ_FILE | LANDLOCK_READ_DIR)

static void test_each_version_knows_its_rights(void **state)
{
	(void)state;
	assert_int_equal(landlock_rights(-EOPNOTSUPP), 0);
	assert_int_equal(landlock_rights(0), 0);
	assert_int_equal(landlock_rights(1), 0x1fff);
	assert_int_equal(landlock_rights(2), 0x3fff);
	assert_int_equal(landlock_rights(3), 0x7fff);
	assert_int_equal(landlock_rights(4), 0x7fff);
	assert_int_equal(landlock_rights(5), 0xffff);
	assert_int_equal(landlock_rights(99), 0xffff);
}

/* What a child in the rule set finds: 0, or the errno of the open. */
static int outcome(int ruleset, const char *path, int flags)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_enter(ruleset) < 0)
			_exit(255);
		_exit(open(path, flags | O_CLOEXEC, 0600) < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

struct place {
	char path[64], inside[96], file[128], link[128];
};

static void make_place(struct place *place)
{
	(void)snprintf(place->path, sizeof(place->path), "/tmp/holdfast-test-XXXXXX");
	assert_non_null(mkdtemp(place->path));
	(void)snprintf(place->inside, sizeof(place->inside), "%s/inside", place->path);
	(void)snprintf(place->file, sizeof(place->file), "%s/file", place->inside);
	(void)snprintf(place->link, sizeof(place->link), "%s/link", place->path);
	assert_int_equal(mkdir(place->inside, 0755), 0);
	assert_int_equal(symlink("inside", place->link), 0);
	int fd = open(place->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	fd_close(fd);
}

static void remove_place(const struct place *place)
{
	assert_int_equal(unlink(place->file), 0);
	assert_int_equal(unlink(place->link), 0);
	assert_int_equal(rmdir(place->inside), 0);
	assert_int_equal(rmdir(place->path), 0);
}

static int make_ruleset(void)
{
	int version = landlock_version();

	if (version < 1)
		skip();
	int ruleset = landlock_create(version, landlock_rights(version), 0);
	assert_true(ruleset >= 0);
	return ruleset;
}

static void test_a_directory_and_what_is_below(void **state)
{
	CLEANUP(fd_closep) int ruleset = make_ruleset();
	struct place place;

	(void)state;
	make_place(&place);
	assert_int_equal(landlock_allow(ruleset, place.inside, READING), 0);
	assert_int_equal(outcome(ruleset, place.file, O_RDONLY), 0);
	assert_int_equal(outcome(ruleset, place.inside, O_RDONLY | O_DIRECTORY), 0);
	assert_int_equal(outcome(ruleset, place.file, O_WRONLY), EACCES);
	assert_int_equal(outcome(ruleset, place.path, O_RDONLY | O_DIRECTORY), EACCES);
	assert_int_equal(outcome(ruleset, "/etc/passwd", O_RDONLY), EACCES);
	remove_place(&place);
}

/* Of a directory's rights a file has those that files have; and rules add up. */
static void test_a_single_file(void **state)
{
	CLEANUP(fd_closep) int ruleset = make_ruleset();
	struct place place;

	(void)state;
	make_place(&place);
	assert_int_equal(landlock_allow(ruleset, place.file, READING | LANDLOCK_MAKE_REG), 0);
	assert_int_equal(outcome(ruleset, place.file, O_RDONLY), 0);
	assert_int_equal(outcome(ruleset, place.file, O_RDWR), EACCES);
	assert_int_equal(landlock_allow(ruleset, place.file, LANDLOCK_WRITE_FILE), 0);
	assert_int_equal(outcome(ruleset, place.file, O_RDWR), 0);
	assert_int_equal(landlock_allow(ruleset, place.file, LANDLOCK_MAKE_REG), 0);
	remove_place(&place);
}

static void test_what_cannot_be_named(void **state)
{
	CLEANUP(fd_closep) int ruleset = make_ruleset();
	struct place place;
	char path[256];

	(void)state;
	make_place(&place);
	assert_int_equal(landlock_allow(ruleset, "/does/not/exist", READING), -ENOENT);
	/* Whoever may write on the way must not lead us elsewhere. */
	assert_int_equal(landlock_allow(ruleset, place.link, READING), -ELOOP);
	(void)snprintf(path, sizeof(path), "%s/file", place.link);
	assert_int_equal(landlock_allow(ruleset, path, READING), -ELOOP);
	remove_place(&place);
}

static void test_only_what_is_handled_is_denied(void **state)
{
	int version = landlock_version();
	struct place place;

	(void)state;
	if (version < 1)
		skip();
	make_place(&place);
	CLEANUP(fd_closep) int ruleset = landlock_create(version, LANDLOCK_WRITE_FILE, 0);
	assert_true(ruleset >= 0);
	assert_int_equal(outcome(ruleset, place.file, O_RDONLY), 0);
	assert_int_equal(outcome(ruleset, place.file, O_WRONLY), EACCES);
	remove_place(&place);
}

/* A kernel that is older than the rights that are asked for gets those that it knows. */
static void test_an_older_kernel(void **state)
{
	(void)state;
	if (landlock_version() < 1)
		skip();
	CLEANUP(fd_closep) int first = landlock_create(1, landlock_rights(7), LANDLOCK_NO_SIGNALS);
	assert_true(first >= 0);
	/* Not handled by it, so no rule may name it. */
	assert_int_equal(landlock_allow(first, "/tmp", LANDLOCK_TRUNCATE), -EINVAL);
	assert_int_equal(landlock_create(1, LANDLOCK_TRUNCATE, 0), -ENOMSG);
}

static int signal_from_inside(uint64_t scopes)
{
	int status, version = landlock_version();

	CLEANUP(fd_closep) int ruleset = landlock_create(version, LANDLOCK_MAKE_BLOCK, scopes);
	assert_true(ruleset >= 0);
	pid_t parent = getpid(), child = fork();
	if (child == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_enter(ruleset) < 0)
			_exit(255);
		_exit(kill(parent, 0) < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WEXITSTATUS(status);
}

static void test_signals_stay_inside(void **state)
{
	(void)state;
	if (landlock_version() < 6)
		skip();
	assert_int_equal(signal_from_inside(0), 0);
	assert_int_equal(signal_from_inside(LANDLOCK_NO_SIGNALS), EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_version_knows_its_rights),
		cmocka_unit_test(test_a_directory_and_what_is_below),
		cmocka_unit_test(test_a_single_file),
		cmocka_unit_test(test_what_cannot_be_named),
		cmocka_unit_test(test_only_what_is_handled_is_denied),
		cmocka_unit_test(test_an_older_kernel),
		cmocka_unit_test(test_signals_stay_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
