/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* Sandbox= and SandboxAllow=: which sandbox a unit gets, and what that means where we are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/capability.h>

#include "lib/cleanup.h"
#include "tests/unit/units_tree.h"
#include "units/sandbox.h"

#define CAPABILITY(n) (UINT64_C(1) << (n))
#define CALLS(group)  (UINT32_C(1) << (group))

#define SERVICE	   "[Service]\nExecStart=/usr/bin/app\n"
#define AS_WEB	   SERVICE "User=web\n"
#define HOLDFAST   "[X-Holdfast]\n"
#define SYSTEMD	   "usr/lib/systemd/system/x.service"
#define EVERYTHING (CAPABILITY(41) - 1)

/* Denied to a distribution's unit that cannot come to a capability. */
#define DENIED_TO_UNITS                                                                  \
	(CALLS_ALL & ~(CALLS(CALLS_PTRACE) | CALLS(CALLS_MEMFD) | CALLS(CALLS_FEXECVE) | \
		       CALLS(CALLS_IO_URING) | CALLS(CALLS_FOREIGN)))

/* Root in a container as runtimes start one. */
static const uint64_t container_capabilities =
	CAPABILITY(CAP_CHOWN) | CAPABILITY(CAP_DAC_OVERRIDE) | CAPABILITY(CAP_FOWNER) |
	CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID) | CAPABILITY(CAP_SETPCAP) |
	CAPABILITY(CAP_NET_BIND_SERVICE) | CAPABILITY(CAP_KILL) | CAPABILITY(CAP_NET_RAW);

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	tree_units(&tree, "x.service");
	tree.rights = (struct units_facts){.capabilities = container_capabilities,
					   .bounding = container_capabilities,
					   .has_filters = true};
	return 0;
}

static const struct plan_unit *take(const char *path, const char *text)
{
	tree_write(&tree, path, text, 0644);
	tree_take(&tree);
	assert_int_equal(unlinkat(tree.fd, path, 0), 0);
	return tree_find(&tree, "x.service");
}

static void test_the_default_is_by_folder(void **state)
{
	static const struct {
		const char *path;
		enum unit_sandbox sandbox;
	} rows[] = {
		{"etc/holdfast/units/x.service", UNIT_SANDBOX_STRICT},
		{"usr/lib/holdfast/units/x.service", UNIT_SANDBOX_STRICT},
		{"etc/systemd/system/x.service", UNIT_SANDBOX_UNIT},
		{"usr/local/lib/systemd/system/x.service", UNIT_SANDBOX_UNIT},
		{"usr/lib/systemd/system/x.service", UNIT_SANDBOX_UNIT},
		{"lib/systemd/system/x.service", UNIT_SANDBOX_UNIT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
		assert_int_equal(take(rows[i].path, SERVICE)->sandbox, rows[i].sandbox);
}

static void test_an_asked_for_folder_is_ours(void **state)
{
	(void)state;
	tree_write(&tree, "srv/units/x.service", SERVICE, 0644);
	tree.request.units_dir = "/srv/units";
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "x.service")->sandbox, UNIT_SANDBOX_STRICT);
}

static void test_a_dropin_says_otherwise(void **state)
{
	(void)state;
	tree_write(&tree, "etc/holdfast/units/x.service.d/a.conf", HOLDFAST "Sandbox=strict\n",
		   0644);
	assert_int_equal(take(SYSTEMD, SERVICE)->sandbox, UNIT_SANDBOX_STRICT);
	tree_write(&tree, "etc/holdfast/units/x.service.d/b.conf", HOLDFAST "Sandbox=none\n", 0644);
	assert_int_equal(take(SYSTEMD, SERVICE)->sandbox, UNIT_SANDBOX_NONE);
}

static void test_strict_takes_what_was_not_asked_for(void **state)
{
	(void)state;
	tree_unit(&tree, "x.service", SERVICE);
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "x.service");
	assert_true(unit->flags & UNIT_NO_NEW_PRIVILEGES);
	assert_true(unit->flags & UNIT_BOUNDING);
	assert_int_equal(unit->bounding_capabilities, sandbox_root_capabilities);
	assert_int_equal(unit->denied_calls, CALLS_ALL);

	tree_unit(&tree, "x.service", AS_WEB);
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "x.service")->bounding_capabilities, 0);

	tree_unit(&tree, "x.service", AS_WEB "AmbientCapabilities=CAP_NET_BIND_SERVICE\n");
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "x.service")->bounding_capabilities,
			 CAPABILITY(CAP_NET_BIND_SERVICE));
}

static void test_what_is_asked_for_frees_its_calls(void **state)
{
	(void)state;
	tree.rights.capabilities = tree.rights.bounding = EVERYTHING;
	tree_unit(&tree, "x.service", SERVICE "CapabilityBoundingSet=CAP_SYS_TIME CAP_CHOWN\n");
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "x.service");
	assert_int_equal(unit->denied_calls, CALLS_ALL & ~CALLS(CALLS_CLOCK));
	/* The user cannot come to it: only the set allows it. */
	tree_unit(&tree, "x.service", AS_WEB "CapabilityBoundingSet=CAP_SYS_TIME\n");
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "x.service")->denied_calls, CALLS_ALL);
	tree_unit(&tree, "x.service", AS_WEB "AmbientCapabilities=CAP_SYS_TIME\n");
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "x.service")->denied_calls,
			 CALLS_ALL & ~CALLS(CALLS_CLOCK));
}

static void test_allowed_words(void **state)
{
	(void)state;
	tree_unit(&tree, "x.service", SERVICE HOLDFAST "SandboxAllow=ptrace\nSandboxAllow=memfd\n");
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "x.service");
	assert_int_equal(unit->allowed_calls, CALLS(CALLS_PTRACE) | CALLS(CALLS_MEMFD));
	assert_int_equal(unit->denied_calls, CALLS_ALL & ~unit->allowed_calls);
	tree_unit(&tree, "x.service",
		  SERVICE HOLDFAST "SandboxAllow=ptrace\nSandboxAllow=\nSandboxAllow=tty\n");
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "x.service")->allowed_calls, CALLS(CALLS_TTY));
}

static void test_wrong_words(void **state)
{
	(void)state;
	tree_unit(&tree, "x.service",
		  SERVICE HOLDFAST "Sandbox=lax\nSandboxAllow=ptrace everything\n");
	assert_int_equal(tree_load(&tree)->n_errors, 2);
	assert_int_equal(tree_diag(&tree, "\"lax\": expected strict, unit or none")->line, 4);
	const struct diag *diag = tree_diag(&tree, "\"everything\": expected tty, ptrace, ");
	assert_int_equal(diag->line, 5);
	assert_int_equal(diag->column, 21);
	assert_non_null(strstr(diag->message, " or foreign"));
}

static void test_none_denies_nothing(void **state)
{
	(void)state;
	tree_unit(&tree, "x.service", SERVICE HOLDFAST "Sandbox=none\n");
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "x.service");
	assert_int_equal(unit->denied_calls, 0);
	assert_int_equal(unit->flags & (UNIT_NO_NEW_PRIVILEGES | UNIT_BOUNDING | UNIT_IS_MARKED),
			 0);
}

static void test_a_distributions_unit_gets_what_it_says(void **state)
{
	static const struct {
		const char *text;
		bool has_no_new_privs;
	} rows[] = {
		{AS_WEB, false},
		{AS_WEB "NoNewPrivileges=yes\n", true},
		{AS_WEB "SystemCallArchitectures=native\n", true},
		{AS_WEB "RestrictSUIDSGID=no\n", false},
		{AS_WEB "ProtectSystem=full\n", false},
		{AS_WEB "PrivateDevices=yes\nAmbientCapabilities=CAP_SYS_ADMIN\n", false},
		{SERVICE "PrivateDevices=yes\n", false},
		{SERVICE "User=root\nPrivateDevices=yes\n", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		const struct plan_unit *unit = take(SYSTEMD, rows[i].text);
		assert_int_equal(!!(unit->flags & UNIT_NO_NEW_PRIVILEGES),
				 rows[i].has_no_new_privs);
		assert_int_equal(!!(unit->flags & UNIT_IS_MARKED), rows[i].has_no_new_privs);
		assert_false(unit->flags & UNIT_BOUNDING);
		assert_int_equal(unit->denied_calls, DENIED_TO_UNITS);
	}
}

static void test_a_capability_frees_a_distributions_unit(void **state)
{
	const uint32_t always = CALLS(CALLS_TTY) | CALLS(CALLS_PERSONALITY);

	(void)state;
	tree.rights.capabilities = tree.rights.bounding = EVERYTHING;
	assert_int_equal(take(SYSTEMD, SERVICE)->denied_calls, always);
	/* It may start what has the capability in its file. */
	assert_int_equal(take(SYSTEMD, AS_WEB)->denied_calls, always);
	assert_int_equal(take(SYSTEMD, AS_WEB "NoNewPrivileges=yes\n")->denied_calls,
			 DENIED_TO_UNITS);
	assert_int_equal(take(SYSTEMD, SERVICE "CapabilityBoundingSet=CAP_SETUID\n")->denied_calls,
			 DENIED_TO_UNITS);
}

static bool is_marked(const char *path, const char *text)
{
	return take(path, text)->flags & UNIT_IS_MARKED;
}

static void test_the_mark(void **state)
{
	static const char path[] = "etc/holdfast/units/x.service";

	(void)state;
	assert_true(is_marked(path, SERVICE));
	assert_true(is_marked(path, SERVICE "ExecStartPre=/usr/bin/app\n"));
	assert_false(is_marked(path, SERVICE "ExecStartPre=+/usr/bin/app\n"));
	assert_false(is_marked(path, SERVICE "ExecStopPost=!/usr/bin/app\n"));
	assert_false(is_marked(path, SERVICE "[X-Liveness]\nExec=+/usr/bin/app\n"));
	assert_true(is_marked(path, SERVICE "PermissionsStartOnly=yes\n"));
	assert_false(
		is_marked(path, SERVICE "PermissionsStartOnly=yes\nExecStartPre=/usr/bin/app\n"));
	assert_false(is_marked(SYSTEMD, SERVICE));
	tree.rights.has_no_new_privs = true;
	assert_true(is_marked(SYSTEMD, SERVICE "ExecStartPre=+/usr/bin/app\n"));
	assert_true(is_marked(path, SERVICE HOLDFAST "Sandbox=none\n"));
	tree.rights = (struct units_facts){.capabilities = EVERYTHING, .has_filters = true};
	assert_true(is_marked(SYSTEMD, SERVICE "ExecStartPre=+/usr/bin/app\n"));
	assert_true(is_marked(path, SERVICE HOLDFAST "Sandbox=none\n"));
	tree.rights.has_filters = false;
	assert_false(is_marked(path, SERVICE));
}

static const struct plan_unit *take_command(const char *as)
{
	static char program[] = "app";
	static char *argv[] = {program, NULL};
	static struct units_command command;

	command = (struct units_command){.argv = argv, .directory = "/usr/bin", .as = as};
	tree.request.command = &command;
	tree_take(&tree);
	return tree_find(&tree, "main.service");
}

static void test_a_command_gets_what_cannot_break_it(void **state)
{
	(void)state;
	const struct plan_unit *unit = take_command(NULL);
	assert_int_equal(unit->sandbox, UNIT_SANDBOX_UNIT);
	assert_true(unit->flags & UNIT_NO_NEW_PRIVILEGES);
	assert_true(unit->flags & UNIT_IS_MARKED);
	assert_false(unit->flags & UNIT_BOUNDING);
	assert_int_equal(unit->denied_calls, DENIED_TO_UNITS);
}

static void test_a_one_off_has_its_services(void **state)
{
	(void)state;
	tree_unit(&tree, "x.service", AS_WEB HOLDFAST "SandboxAllow=memfd\n");
	const struct plan_unit *unit = take_command("x.service");
	assert_int_equal(unit->sandbox, UNIT_SANDBOX_STRICT);
	assert_int_equal(unit->denied_calls, CALLS_ALL & ~CALLS(CALLS_MEMFD));
	tree_write(&tree, "usr/lib/systemd/system/y.service", AS_WEB, 0644);
	unit = take_command("y.service");
	assert_int_equal(unit->sandbox, UNIT_SANDBOX_UNIT);
	assert_false(unit->flags & UNIT_NO_NEW_PRIVILEGES);
}

#define TEST(name) TREE_TEST(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_default_is_by_folder),
		TEST(test_an_asked_for_folder_is_ours),
		TEST(test_a_dropin_says_otherwise),
		TEST(test_strict_takes_what_was_not_asked_for),
		TEST(test_what_is_asked_for_frees_its_calls),
		TEST(test_allowed_words),
		TEST(test_wrong_words),
		TEST(test_none_denies_nothing),
		TEST(test_a_distributions_unit_gets_what_it_says),
		TEST(test_a_capability_frees_a_distributions_unit),
		TEST(test_the_mark),
		TEST(test_a_command_gets_what_cannot_break_it),
		TEST(test_a_one_off_has_its_services),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
