/* TESTS: secrets/state.c secrets/secmem.c lib/sys.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sys.h"
#include "secrets/secmem.h"
#include "secrets/state.h"

static int fresh(void)
{
	int fd = sys_memfd_create("state", 0);

	assert_true(fd >= 0);
	return fd;
}

static void expect(const struct state *state, const char *name, const char *value)
{
	size_t size = 0;
	const void *data = state_get(state, name, &size);

	assert_non_null(data);
	assert_int_equal(size, strlen(value));
	assert_memory_equal(data, value, size);
}

static void set(struct state *state, const char *name, const char *value)
{
	assert_int_equal(state_set(state, name, value, strlen(value)), 0);
}

/* Whether needle stands anywhere in fd. */
static bool holds(int fd, const char *needle)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *all = malloc((size_t)size + 1);

	assert_non_null(all);
	assert_int_equal(pread(fd, all, (size_t)size, 0), size);
	bool found = memmem(all, (size_t)size, needle, strlen(needle)) != NULL;
	free(all);
	return found;
}

static void test_what_was_saved_comes_back(void **unused)
{
	struct state state;
	size_t size, cursor = 0;
	int fd = fresh();

	(void)unused;
	assert_int_equal(state_load(&state, fd), 0);
	assert_null(state_get(&state, "vault.token", &size));
	set(&state, "vault.token", "hvs.first");
	set(&state, "vault.lease.a", "");
	set(&state, "aws.offset", "12");
	assert_int_equal(state_save(&state), 0);
	state_finish(&state);

	assert_int_equal(state_load(&state, fd), 0);
	expect(&state, "vault.token", "hvs.first");
	expect(&state, "vault.lease.a", "");
	assert_string_equal(state_next(&state, "vault.", &cursor), "vault.token");
	assert_string_equal(state_next(&state, "vault.", &cursor), "vault.lease.a");
	assert_null(state_next(&state, "vault.", &cursor));
	char exact[2], more[3];
	assert_true(state_get_exactly(&state, "aws.offset", exact, 2));
	assert_false(state_get_exactly(&state, "aws.offset", more, 3));
	state_finish(&state);
	close(fd);
}

static void test_what_was_replaced_or_dropped_is_gone_from_the_file(void **unused)
{
	struct state state;
	size_t size;
	int fd = fresh();

	(void)unused;
	assert_int_equal(state_load(&state, fd), 0);
	set(&state, "token", "one-0123456789");
	assert_int_equal(state_save(&state), 0);
	assert_true(holds(fd, "one-0123456789"));
	set(&state, "token", "two-0123456789");
	assert_int_equal(state_save(&state), 0);
	assert_false(holds(fd, "one-0123456789"));
	assert_true(holds(fd, "two-0123456789"));
	state_drop(&state, "token");
	state_drop(&state, "token");
	assert_int_equal(state_save(&state), 0);
	assert_false(holds(fd, "two-0123456789"));
	state_finish(&state);
	assert_int_equal(state_load(&state, fd), 0);
	assert_null(state_get(&state, "token", &size));
	state_finish(&state);
	close(fd);
}

/* Killed after any write of a save, the state is the old one or the new one. */
static void test_a_save_that_was_cut_short_changes_nothing(void **unused)
{
	struct state state;
	int fd = fresh();
	char head[32];

	(void)unused;
	assert_int_equal(state_load(&state, fd), 0);
	set(&state, "token", "one");
	assert_int_equal(state_save(&state), 0);
	assert_int_equal(pread(fd, head, sizeof(head), 0), sizeof(head));
	set(&state, "token", "two");
	assert_int_equal(state_save(&state), 0);
	state_finish(&state);
	/* As it was when the copy was written and the head was not: the old copy would still stand. */
	assert_int_equal(state_load(&state, fd), 0);
	expect(&state, "token", "two");
	state_finish(&state);
	/* A head whose copy is not what it adds up to is as good as none. */
	assert_int_equal(pwrite(fd, head, sizeof(head), 0), sizeof(head));
	assert_int_equal(state_load(&state, fd), 0);
	assert_int_equal(state.count, 0);
	set(&state, "token", "three");
	assert_int_equal(state_save(&state), 0);
	state_finish(&state);
	assert_int_equal(state_load(&state, fd), 0);
	expect(&state, "token", "three");
	state_finish(&state);
	close(fd);
}

static void test_without_a_file_it_is_forgotten(void **unused)
{
	struct state state;

	(void)unused;
	assert_int_equal(state_load(&state, -1), 0);
	set(&state, "a", "b");
	assert_int_equal(state_save(&state), 0);
	expect(&state, "a", "b");
	state_finish(&state);
}

static void test_limits(void **unused)
{
	struct state state;
	char *big = calloc(1, STATE_SIZE_MAX);
	char name[STATE_NAME_MAX + 2];

	(void)unused;
	assert_non_null(big);
	assert_int_equal(state_load(&state, -1), 0);
	memset(name, 'n', sizeof(name));
	name[STATE_NAME_MAX + 1] = '\0';
	assert_int_equal(state_set(&state, name, "", 0), -EINVAL);
	assert_int_equal(state_set(&state, "", "", 0), -EINVAL);
	name[STATE_NAME_MAX] = '\0';
	assert_int_equal(state_set(&state, name, "", 0), 0);
	assert_int_equal(state_set(&state, "big", big, STATE_SIZE_MAX), -ENOSPC);
	assert_int_equal(state_set(&state, "big", big, STATE_SIZE_MAX / 2), 0);
	assert_int_equal(state_set(&state, "big", big, STATE_SIZE_MAX / 2 + 8), 0);
	assert_int_equal(state_set(&state, "more", big, STATE_SIZE_MAX / 2), -ENOSPC);
	state_finish(&state);
	free(big);
}

static void test_what_is_no_state_is_empty(void **unused)
{
	struct state state;
	int fd = fresh();

	(void)unused;
	assert_int_equal(write(fd, "hello, this is not what was expected here", 41), 41);
	assert_int_equal(state_load(&state, fd), 0);
	assert_int_equal(state.count, 0);
	state_finish(&state);
	close(fd);
	assert_int_equal(state_load(&state, 9999), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_saved_comes_back),
		cmocka_unit_test(test_what_was_replaced_or_dropped_is_gone_from_the_file),
		cmocka_unit_test(test_a_save_that_was_cut_short_changes_nothing),
		cmocka_unit_test(test_without_a_file_it_is_forgotten),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_what_is_no_state_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
