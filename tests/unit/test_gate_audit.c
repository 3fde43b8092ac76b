/* TESTS: gate/audit.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>

#include "gate/audit.h"

#define RECORD(comm, exe)                                                                          \
	"audit(1795307136.286:1748): auid=4294967295 uid=33 gid=0 ses=4294967295 subj=unconfined " \
	"pid=1056 comm=" comm " exe=" exe                                                          \
	" sig=0 arch=c000003e syscall=101 compat=0 ip=0x7f9c1bdd1829 code=0x50000"

static struct audit_refusal parse(const char *text)
{
	struct audit_refusal refusal;

	assert_int_equal(audit_parse(text, strlen(text), &refusal), 0);
	return refusal;
}

static void test_what_the_kernel_writes(void **state)
{
	struct audit_refusal refusal = parse(RECORD("\"nginx\"", "\"/usr/sbin/nginx\""));

	(void)state;
	assert_int_equal(refusal.pid, 1056);
	assert_int_equal(refusal.uid, 33);
	assert_int_equal(refusal.arch, AUDIT_ARCH_X86_64);
	assert_int_equal(refusal.number, 101);
	assert_int_equal(refusal.action, SECCOMP_RET_ERRNO);
	assert_string_equal(refusal.comm, "nginx");
	assert_string_equal(refusal.exe, "/usr/sbin/nginx");
}

/* Whatever a process calls itself is one word of the record, and says nothing of the others. */
static void test_names_lie(void **state)
{
	struct audit_refusal refusal =
		parse(RECORD("\"pid=1\"", "2F6120706964 3D31") " pid=1 syscall=1 code=0x0");

	(void)state;
	assert_int_equal(refusal.pid, 1056);
	assert_int_equal(refusal.number, 101);
	assert_int_equal(refusal.action, SECCOMP_RET_ERRNO);
	assert_string_equal(refusal.comm, "pid=1");
}

static void test_names_in_hexadecimal(void **state)
{
	struct audit_refusal refusal = parse(RECORD("6120620A", "2F1B5B324A00FF"));

	(void)state;
	assert_string_equal(refusal.comm, "a b\n");
	assert_string_equal(refusal.exe, "/\x1b[2J");
	refusal = parse(RECORD("(null)", "2F6"));
	assert_string_equal(refusal.comm, "");
	assert_string_equal(refusal.exe, "/");
}

static void test_names_are_cut(void **state)
{
	char text[1024], exe[512];

	(void)state;
	memset(exe, 'x', sizeof(exe));
	exe[sizeof(exe) - 1] = '\0';
	(void)snprintf(text, sizeof(text),
		       "uid=0 pid=1 arch=0 syscall=0 code=0 comm=\"%.40s\" exe=\"%s\"", exe, exe);
	struct audit_refusal refusal = parse(text);
	assert_int_equal(strlen(refusal.comm), sizeof(refusal.comm) - 1);
	assert_int_equal(strlen(refusal.exe), sizeof(refusal.exe) - 1);
}

static void test_what_is_no_record(void **state)
{
	static const char *const texts[] = {
		"",
		"pid=1",
		"uid=0 pid= arch=0 syscall=0 code=0",
		"uid=0 pid=-1 arch=0 syscall=0 code=0",
		"uid=0 pid=2147483648 arch=0 syscall=0 code=0",
		"uid=4294967296 pid=1 arch=0 syscall=0 code=0",
		"uid=0 pid=1 arch=c000003e0 syscall=0 code=0",
		"uid=0 pid=1 arch=g syscall=0 code=0",
		"uid=0 pid=1 arch=0 syscall=0x1 code=0",
		"uid=0 xpid=1 arch=0 syscall=1 code=0",
		"uid=0 pid=1 arch=0 syscall=1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct audit_refusal refusal;
		assert_int_equal(audit_parse(texts[i], strlen(texts[i]), &refusal), -EBADMSG);
	}
	/* No longer than it says. */
	struct audit_refusal refusal;
	const char *text = "uid=0 pid=12 arch=0 syscall=1 code=0";
	assert_int_equal(audit_parse(text, strlen("uid=0 pid=12 arch=0 syscall=1"), &refusal),
			 -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_the_kernel_writes), cmocka_unit_test(test_names_lie),
		cmocka_unit_test(test_names_in_hexadecimal),   cmocka_unit_test(test_names_are_cut),
		cmocka_unit_test(test_what_is_no_record),
	};

	return cmocka_run_group_tests_name("gate_audit", tests, NULL, NULL);
}
