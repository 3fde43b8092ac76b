/* TESTS: lib/sandbox.c lib/landlock.c lib/fd.c lib/str.c lib/sys.c */
#include "lib/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "gen/health/filter.h"
#include "lib/cleanup.h"

/*
 * The generated filter as the kernel sees it: a child enters it and makes one call. Only raw calls
 * after that, as nothing else of a sanitized program would survive.
 */

#define OUTCOME_ALLOWED 0
#define OUTCOME_REFUSED 1 /* EPERM */
#define OUTCOME_KILLED	2 /* SIGSYS */
#define OUTCOME_OTHER	3

static long call_now(const long *arguments)
{
	return syscall(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
		       arguments[5], arguments[6]);
}

static int outcome_of(long (*act)(const long *arguments), const long *arguments)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		const struct sandbox sandbox = {
			.uid = UINT32_MAX,
			.filter = health_filter,
			.filter_count = ARRAY_COUNT(health_filter),
		};
		if (!(sandbox_enter(&sandbox) & SANDBOX_SECCOMP))
			syscall(SYS_exit_group, OUTCOME_OTHER);
		errno = 0;
		long r = act(arguments);
		syscall(SYS_exit_group,
			r < 0 && errno == EPERM ? OUTCOME_REFUSED : OUTCOME_ALLOWED);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? OUTCOME_KILLED : OUTCOME_OTHER;
	return WEXITSTATUS(status);
}

static void test_calls(void **state)
{
	static struct timespec now;
	static char byte;
	const struct {
		long arguments[7];
		int outcome;
	} cases[] = {
		{{SYS_clock_gettime, CLOCK_BOOTTIME, (long)&now}, OUTCOME_ALLOWED},
		{{SYS_read, -1, (long)&byte, 1}, OUTCOME_ALLOWED},
		{{SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
		 OUTCOME_ALLOWED},
		{{SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0},
		 OUTCOME_REFUSED},
		{{SYS_mprotect, 0, 4096, PROT_READ | PROT_EXEC}, OUTCOME_REFUSED},
		{{SYS_getpid}, OUTCOME_REFUSED},
		{{SYS_prctl, PR_SET_DUMPABLE, 1}, OUTCOME_REFUSED},
		{{SYS_kill, 1, 0}, OUTCOME_REFUSED},
		{{SYS_dup, 0}, OUTCOME_REFUSED},
		{{SYS_setuid, 0}, OUTCOME_REFUSED},
		{{SYS_openat, -1, (long)"/", 0}, OUTCOME_KILLED},
		{{SYS_execve, (long)"/", 0, 0}, OUTCOME_KILLED},
		{{SYS_clone, SIGCHLD, 0, 0, 0, 0}, OUTCOME_KILLED},
		{{SYS_socket, 1, 1, 0}, OUTCOME_KILLED},
		{{SYS_ptrace, 0, 0, 0, 0}, OUTCOME_KILLED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		int outcome = outcome_of(call_now, cases[i].arguments);
		if (outcome != cases[i].outcome)
			fail_msg("case %zu, call %ld: %d instead of %d", i, cases[i].arguments[0],
				 outcome, cases[i].outcome);
	}
}

#if defined(__x86_64__)
/* Number 20 is getpid for 32-bit programs and writev here: only the architecture tells. */
static long call_as_i386(const long *arguments)
{
	long result = arguments[0];

	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	return result;
}

static void test_foreign_architecture(void **state)
{
	const long getpid_of_i386[] = {20};
	const long getpid_of_x32[7] = {0x40000000 | SYS_getpid};

	(void)state;
	assert_int_equal(outcome_of(call_as_i386, getpid_of_i386), OUTCOME_KILLED);
	assert_int_equal(outcome_of(call_now, getpid_of_x32), OUTCOME_KILLED);
}
#endif

static int had_by_child(const struct sandbox *sandbox)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		int had = sandbox_enter(sandbox);
		syscall(SYS_exit_group, had < 0 ? 255 : had);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_what_was_had(void **state)
{
	const int always = SANDBOX_NO_CAPS | SANDBOX_NO_NEW_PRIVS | SANDBOX_NO_DUMP;
	const struct sandbox as_we_are = {.uid = UINT32_MAX};
	const struct sandbox other = {.uid = 64999};

	(void)state;
	assert_int_equal(had_by_child(&as_we_are), always);
	assert_int_equal(had_by_child(&other), geteuid() == 0 ? always | SANDBOX_IDS : always);
}

/* What is said of it: how far the process gets with each, as what it exits with. */
static int reach(void)
{
	int reached = 0;

	reached |= open("/", O_RDONLY | O_CLOEXEC) >= 0;
	reached |= (open("/dev/null", O_WRONLY | O_CLOEXEC) >= 0) << 1;
	reached |= (execl("/proc/self/exe", "", (char *)NULL) == 0 || errno != EACCES) << 2;
	reached |= (prctl(PR_CAPBSET_READ, 0, 0, 0, 0) == 1) << 3;
	reached |= (prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) == 0) << 4;
	return reached;
}

static void test_what_is_left(void **state)
{
	const struct sandbox sandbox = {.uid = UINT32_MAX, .has_no_files = true};
	bool may_setpcap = prctl(PR_CAPBSET_READ, 8, 0, 0, 0) == 1 && geteuid() == 0;
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		int had = sandbox_enter(&sandbox);
		syscall(SYS_exit_group, had & SANDBOX_NO_FILES ? reach() : 255);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 255)
		skip(); /* a kernel without Landlock */
	assert_int_equal(WEXITSTATUS(status) & (may_setpcap ? ~0 : 7), 0);
}

static void test_description(void **state)
{
	char text[160];
	struct strbuf buf;

	(void)state;
	strbuf_init(&buf, text, sizeof(text));
	sandbox_describe(&buf, SANDBOX_IDS | SANDBOX_NO_DUMP, SANDBOX_ALL);
	assert_string_equal(text, "own uid, not dumpable; "
				  "missing: capabilities dropped, no_new_privs, seccomp, no files");
	strbuf_reset(&buf);
	sandbox_describe(&buf, SANDBOX_ALL, SANDBOX_ALL);
	assert_string_equal(text, "own uid, capabilities dropped, no_new_privs, not dumpable, "
				  "seccomp, no files");
	strbuf_reset(&buf);
	sandbox_describe(&buf, SANDBOX_NO_CAPS, SANDBOX_NO_CAPS | SANDBOX_SECCOMP);
	assert_string_equal(text, "capabilities dropped; missing: seccomp");
	strbuf_reset(&buf);
	sandbox_describe(&buf, 0, SANDBOX_ALL);
	assert_string_equal(text, "missing: own uid, capabilities dropped, no_new_privs, "
				  "not dumpable, seccomp, no files");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
#if defined(__x86_64__)
		cmocka_unit_test(test_foreign_architecture),
#endif
		cmocka_unit_test(test_what_was_had),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_description),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
