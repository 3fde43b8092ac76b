/* TESTS: supervisor/filter.c tests/support/planbuild.c lib/plan.c */
/* Which filter a unit gets, and what the kernel makes of it: a child installs it and makes one call. */
#include "supervisor/filter.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/seccomp.h>

#include "gen/supervisor/service-filter.h"
#include "lib/cleanup.h"
#include "tests/support/planbuild.h"

#define CALLS(group) (UINT32_C(1) << (group))
#define BAD	     (-1L)

/* A call of each group that does nothing, whoever makes it. */
static const struct {
	long number, arguments[5];
	int error;
} calls[CALL_GROUP_COUNT] = {
	[CALLS_TTY] = {SYS_ioctl, {0, 0x700005412, BAD}, EPERM},
	[CALLS_PTRACE] = {SYS_kcmp, {BAD, BAD, 255}, EPERM},
	[CALLS_NAMESPACES] = {SYS_clone, {0x10000000L | (1L << 40)}, EPERM},
	[CALLS_MOUNT] = {SYS_umount2, {BAD, 0}, EPERM},
	[CALLS_BPF] = {SYS_bpf, {BAD, BAD, BAD}, EPERM},
	[CALLS_KEYRING] = {SYS_keyctl, {BAD}, EPERM},
	[CALLS_USERFAULTFD] = {SYS_userfaultfd, {BAD}, EPERM},
	[CALLS_MEMFD] = {SYS_memfd_create, {BAD, 0}, ENOSYS},
	[CALLS_FEXECVE] = {SYS_execveat, {BAD, BAD, 0, 0, 0x1000}, EPERM},
	[CALLS_IO_URING] = {425, {0, BAD}, ENOSYS},
	[CALLS_CLOCK] = {SYS_clock_settime, {BAD, BAD}, EPERM},
	[CALLS_MODULES] = {SYS_delete_module, {BAD, 0}, EPERM},
	[CALLS_REBOOT] = {SYS_reboot, {0, 0, 0, 0}, EPERM},
#if defined(__x86_64__)
	[CALLS_RAW_IO] = {SYS_iopl, {9}, EPERM},
	[CALLS_FOREIGN] = {0x40000000L | SYS_getpid, {0}, ENOSYS},
#endif
	[CALLS_ADMIN] = {SYS_sethostname, {BAD, BAD}, EPERM},
	[CALLS_HANDLES] = {SYS_open_by_handle_at, {BAD, BAD, 0}, EPERM},
	[CALLS_PERSONALITY] = {SYS_personality, {0x1ffffffffL}, EPERM},
};

static struct planbuild build;
static struct plan plan;
static struct filters *filters;
/* As in the supervisor they are never freed: here that must not look like a leak. */
static void *kept[4 * CALL_GROUP_COUNT];
static size_t n_kept;

static void make(const uint32_t *denied, uint32_t n)
{
	void *block;
	size_t size;

	planbuild_init(&build);
	for (uint32_t i = 0; i < n; i++)
		planbuild_unit(&build, "x.service", NULL)->denied_calls = denied[i];
	planbuild_finish(&build, &block, &size, &plan);
	assert_int_equal(filter_init(&plan, &filters), 0);
	assert_true(n_kept + 2 <= ARRAY_COUNT(kept));
	kept[n_kept++] = block;
	kept[n_kept++] = filters;
}

/* The errno of the group's call under the program; 0 when it was let through and succeeded. Only raw
 * calls after the filter, for all that is in a sanitized program. */
static int error_of(const struct sock_fprog *program, enum call_group group)
{
	const long *a = calls[group].arguments;
	int status;
	pid_t child = fork();

	if (child == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0)
			syscall(SYS_exit_group, 254);
		long r = syscall(calls[group].number, a[0], a[1], a[2], a[3], a[4]);
		syscall(SYS_exit_group, r < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 254);
	return WEXITSTATUS(status);
}

static void test_the_groups_are_the_plans(void **state)
{
	(void)state;
	for (int i = 0; i < CALL_GROUP_COUNT; i++)
		assert_string_equal(supervisor_service_groups[i], call_group_names[i]);
}

static void test_each_group_alone(void **state)
{
	(void)state;
	for (enum call_group group = 0; group < CALL_GROUP_COUNT; group++) {
		const uint32_t sets[] = {CALLS(group), CALLS_ALL & ~CALLS(group), CALLS_ALL};
		if (calls[group].number == 0)
			continue;
		make(sets, ARRAY_COUNT(sets));
		int denied = error_of(filter_of(filters, 0, true), group);
		int freed = error_of(filter_of(filters, 1, true), group);
		int all = error_of(filter_of(filters, 2, true), group);
		assert_int_equal(denied, calls[group].error);
		assert_int_equal(all, calls[group].error);
		/* A kernel without it says so itself. */
		assert_true(freed != calls[group].error || freed == ENOSYS);
	}
}

static void test_one_filter_for_a_set(void **state)
{
	const uint32_t sets[] = {CALLS_ALL, 0, CALLS_ALL, CALLS(CALLS_TTY), 0};

	(void)state;
	make(sets, ARRAY_COUNT(sets));
	assert_ptr_equal(filter_of(filters, 0, true), filter_of(filters, 2, true));
	assert_ptr_equal(filter_of(filters, 1, true), filter_of(filters, 4, true));
	assert_ptr_not_equal(filter_of(filters, 0, true), filter_of(filters, 3, true));
}

static void test_what_denies_nothing_is_one_instruction(void **state)
{
	const uint32_t sets[] = {CALLS_ALL, 0};

	(void)state;
	make(sets, ARRAY_COUNT(sets));
	assert_int_equal(filter_of(filters, 1, true)->len, 1);
	assert_ptr_equal(filter_of(filters, 0, false), filter_of(filters, 1, true));
	assert_int_not_equal(error_of(filter_of(filters, 0, false), CALLS_TTY), EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_groups_are_the_plans),
		cmocka_unit_test(test_each_group_alone),
		cmocka_unit_test(test_one_filter_for_a_set),
		cmocka_unit_test(test_what_denies_nothing_is_one_instruction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
