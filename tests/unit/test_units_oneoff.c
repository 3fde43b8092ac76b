/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* `--as UNIT -- CMD`: what main.service has of the service, and what it does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "lib/cleanup.h"
#include "tests/unit/units_tree.h"

static char program[16], option[] = "--migrate";
static char *argv[] = {program, option, NULL};
static struct units_command command;

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	tree_units(&tree, "web.service");
	strcpy(program, "app");
	command = (struct units_command){.argv = argv, .directory = "/usr", .as = "web.service"};
	for (int i = 0; i < 256; i++)
		command.remap[i] = (uint8_t)i;
	tree.request.command = &command;
	return 0;
}

static void write_service(void)
{
	tree_unit(&tree, "other.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_write(&tree, "etc/app.ini", "{{ DB }}\n", 0644);
	tree_unit(
		&tree, "web.service",
		"[Unit]\nRequires=other.service\nAfter=other.service\nBindsTo=gone.service\n"
		"ConditionPathExists=/none\nAssertPathExists=/none\nStartLimitBurst=1\n"
		"[Service]\nType=notify\nExecCondition=/usr/bin/app c\nExecStartPre=/usr/bin/app pre\n"
		"ExecStart=/usr/bin/app serve\nExecStartPost=/usr/bin/app post\nExecStop=/usr/bin/app stop\n"
		"ExecStopPost=/usr/bin/app gone\nRestart=always\nWatchdogSec=5\nRuntimeMaxSec=1\n"
		"TimeoutStartSec=1\nTimeoutStopSec=7\nKillMode=process\nKillSignal=SIGQUIT\n"
		"SuccessExitStatus=3\nRemainAfterExit=yes\nPIDFile=web.pid\nStandardOutput=null\n"
		"User=web\nEnvironment=A=%p PATH=/opt:/usr/bin\nStateDirectory=%p\nLimitNOFILE=64\n"
		"NoNewPrivileges=yes\nPrivateTmp=yes\nCapabilityBoundingSet=\nUMask=0077\n"
		"TemporaryFileSystem=/scratch:size=1M\n"
		"[X-Holdfast]\nEssential=no\nDrainSec=5\nSecretFile=key ssm:/a/%p/key\nSecret=DB ssm:/a/db\n"
		"Refresh=1h\nOnChange=restart\n"
		"[X-Templates]\napp.ini=/etc/app.ini\n"
		"[X-Readiness]\nTCPSocket=80\n");
}

static void test_the_surroundings_are_the_services(void **state)
{
	(void)state;
	write_service();
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "main.service");
	assert_int_equal(tree.plan.header->main_unit, 0);
	assert_int_equal(unit->uid, 33);
	assert_string_equal(tree_variable(&tree, unit, "A"), "web");
	assert_string_equal(tree_variable(&tree, unit, "HOME"), "/var/www");
	assert_string_equal(tree_variable(&tree, unit, "STATE_DIRECTORY"), "/var/lib/web");
	assert_string_equal(tree_variable(&tree, unit, "CREDENTIALS_DIRECTORY"),
			    "/run/holdfast/credentials/main.service");
	assert_int_equal(unit->secrets.count, 2);
	assert_string_equal(
		plan_string(&tree.plan, plan_secret(&tree.plan, unit->secrets.first)->reference),
		"ssm:/a/web/key");
	assert_int_equal(unit->templates.count, 1);
	assert_int_equal(unit->scratch.count, 1);
	assert_int_equal(plan_limit(&tree.plan, unit->limits.first)->resource, RLIMIT_NOFILE);
	assert_int_equal(unit->bounding_capabilities, 0);
	assert_int_equal(unit->umask, 0077);
	assert_int_equal(unit->timeout_stop_us, 7000000);
	assert_int_equal(unit->flags, UNIT_IS_MAIN | UNIT_ESSENTIAL | UNIT_WANTED |
					      UNIT_STDIN_INHERIT | UNIT_SEND_SIGKILL |
					      UNIT_NO_NEW_PRIVILEGES | UNIT_PRIVATE_TMP |
					      UNIT_BOUNDING);
	assert_string_equal(plan_string(&tree.plan, unit->working_directory), "/");
	assert_string_equal(plan_string(&tree.plan, unit->file), "/etc/holdfast/units/web.service");
}

static void test_the_life_is_the_commands(void **state)
{
	(void)state;
	write_service();
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "main.service");
	const struct plan_exec *exec = plan_exec(&tree.plan, unit->exec[EXEC_START].first);
	for (int phase = 0; phase < EXEC_PHASE_COUNT; phase++)
		assert_int_equal(unit->exec[phase].count, phase == EXEC_START);
	assert_string_equal(plan_string(&tree.plan, exec->path), "/usr/bin/app");
	assert_string_equal(tree_argument(&tree.plan, exec, 1), "--migrate");
	assert_int_equal(plan_find_unit(&tree.plan, "web.service"), PLAN_NO_UNIT);
	assert_int_equal(plan_find_unit(&tree.plan, "other.service"), PLAN_NO_UNIT);
	assert_int_equal(unit->conditions.count, 0);
	assert_int_equal(unit->type, SERVICE_SIMPLE);
	assert_int_equal(unit->restart, RESTART_NO);
	assert_int_equal(unit->kill_mode, KILL_CONTROL_GROUP);
	assert_int_equal(unit->kill_signal, SIGTERM);
	assert_int_equal(unit->notify_access, NOTIFY_NONE);
	assert_int_equal(unit->watchdog_us, PLAN_INFINITY_US);
	assert_int_equal(unit->runtime_max_us, PLAN_INFINITY_US);
	assert_int_equal(unit->drain_us, 0);
	assert_int_equal(unit->statuses.count, 0);
	assert_int_equal(unit->pid_file, 0);
	assert_int_equal(unit->probes.count, 0);
	assert_int_equal(unit->success_action, ACTION_EXIT);
	assert_int_equal(unit->failure_action, ACTION_EXIT);
	assert_int_equal(unit->failure_status, 256);
	assert_int_equal(unit->refresh_us, 0);
	assert_int_equal(unit->on_change, CHANGE_NONE);
}

/* Where the service looks for programs, and where it stands: not where holdfast was started. */
static void test_the_command_is_found_as_the_service_finds_it(void **state)
{
	(void)state;
	tree_write(&tree, "opt/app", "x", 0755);
	tree_unit(&tree, "web.service",
		  "[Service]\nExecStart=/usr/bin/app\nEnvironment=PATH=/opt:/usr/bin\n");
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "main.service");
	assert_string_equal(
		plan_string(&tree.plan, plan_exec(&tree.plan, unit->exec[EXEC_START].first)->path),
		"/opt/app");
	tree_unit(&tree, "web.service.d/a.conf",
		  "[Service]\nWorkingDirectory=/opt\nEnvironment=PATH=\n");
	strcpy(program, "./app");
	tree_take(&tree);
	unit = tree_find(&tree, "main.service");
	assert_string_equal(
		plan_string(&tree.plan, plan_exec(&tree.plan, unit->exec[EXEC_START].first)->path),
		"/opt/./app");
}

/* Its endpoint is the service's, unless it is asked for; instances of templates work, too. */
static void test_the_rest_of_the_configuration(void **state)
{
	static const char *const keys[] = {"Service.User=db", NULL};
	static const struct units_override listen = {
		.section = "Health", .key = "Listen", .value = ":9181", .origin = "--health"};

	(void)state;
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=x.service\n[Health]\nListen=:9180\n", 0644);
	tree_unit(&tree, "web@.service",
		  "[Service]\nExecStart=/usr/bin/app\nUser=web\nEnvironment=I=%i\n");
	command.as = "web@blue.service";
	command.keys = keys;
	tree_take(&tree);
	assert_null(units_conf(tree.units)->listen[0]);
	assert_string_equal(tree_variable(&tree, tree_find(&tree, "main.service"), "I"), "blue");
	assert_int_equal(tree_find(&tree, "main.service")->uid, 70);
	tree.request.overrides = &listen;
	tree.request.n_overrides = 1;
	tree_take(&tree);
	assert_string_equal(units_conf(tree.units)->listen[0], ":9181");
	assert_null(units_conf(tree.units)->listen[1]);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *as, *message;
		int status;
	} rows[] = {
		{"gone.service", "gone.service does not exist", EX_CONFIG},
		{"masked.service", "masked.service is masked", EX_CONFIG},
		{"web", "\"web\": expected the name of a service", EX_USAGE},
		{"web.socket", "\"web.socket\": expected the name of a service", EX_USAGE},
		{"web@.service", "\"web@.service\": expected the name of a service", EX_USAGE},
		{"/etc/web.service", "expected the name of a service", EX_USAGE},
		{"bad.service", "no user \"nobody-here\"", EX_CONFIG},
	};

	(void)state;
	tree_link(&tree, "etc/holdfast/units/masked.service", "/dev/null");
	tree_unit(&tree, "bad.service", "[Service]\nExecStart=/usr/bin/app\nUser=nobody-here\n");
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		command.as = rows[i].as;
		assert_true(tree_load(&tree)->n_errors > 0);
		assert_int_equal(tree_diag(&tree, rows[i].message)->status, rows[i].status);
	}
}

#define TEST(name) TREE_TEST(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_surroundings_are_the_services),
		TEST(test_the_life_is_the_commands),
		TEST(test_the_command_is_found_as_the_service_finds_it),
		TEST(test_the_rest_of_the_configuration),
		TEST(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
