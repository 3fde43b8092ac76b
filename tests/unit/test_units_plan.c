/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* From a tree of files to a plan, walked as the supervisor walks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "tests/unit/units_tree.h"

/* ---------------------------------------------------------------- one service, all of it */

static void write_full_service(void)
{
	tree_units(&tree, "api.service");
	tree_write(&tree, "etc/api.env", "FROM_FILE='a b'\n", 0644);
	tree_unit(
		&tree, "api.service",
		"[Unit]\nDescription=The %p of %H\n"
		"ConditionPathExists=|!/run/stop\nAssertPathIsDirectory=/etc\n"
		"[Service]\nType=notify\n"
		"ExecStartPre=-+/usr/bin/app --check\n"
		"ExecStart=@/usr/bin/app api \"--name=%i x\" $FROM_FILE ${FROM_FILE} $$HOME \\x41\n"
		"ExecStop=/bin/kill -QUIT $MAINPID\n"
		"ExecStopPost=/usr/bin/app $SERVICE_RESULT ${EXIT_CODE}/${EXIT_STATUS}\n"
		"User=web\nSupplementaryGroups=70\n"
		"Environment=A=1 \"B=two words\"\nEnvironmentFile=/etc/api.env\n"
		"EnvironmentFile=-/etc/missing\nUnsetEnvironment=A\n"
		"RuntimeDirectory=api api/sub\nRuntimeDirectoryMode=0700\nStateDirectory=api\n"
		"Restart=on-failure\nRestartSec=2\nTimeoutSec=10\nTimeoutStartSec=0\nWatchdogSec=5\n"
		"KillMode=mixed\nKillSignal=SIGINT\nSuccessExitStatus=3 TEMPFAIL SIGUSR1\n"
		"LimitNOFILE=1024:2048\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n"
		"AmbientCapabilities=CAP_NET_BIND_SERVICE\nNoNewPrivileges=yes\nUMask=0077\n"
		"Nice=-5\nOOMScoreAdjust=100\nPIDFile=/var/run/api.pid\nPrivateTmp=true\n"
		"TemporaryFileSystem=/scratch:size=64M,mode=0750\nWorkingDirectory=-/srv\n"
		"LoadCredential=tls:/etc/tls.key\n"
		"[X-Holdfast]\nDrainSec=5\nSecret=TOKEN file:/etc/passwd\n"
		"SecretFd=KEY file:/etc/group optional\n"
		"[X-Readiness]\nHTTPGet=http://localhost:8080/ready\nPeriodSec=5\n"
		"[X-Liveness]\nExec=/usr/bin/app --alive\n");
	tree_write(&tree, "etc/tls.key", "k", 0600);
}

static void check_commands(const struct plan_unit *unit)
{
	const struct plan *plan = &tree.plan;
	static const char *const argv[] = {"api", "--name= x", "a", "b", "a b", "$HOME", "A"};
	const struct plan_exec *start = plan_exec(plan, unit->exec[EXEC_START].first);
	const struct plan_exec *pre = plan_exec(plan, unit->exec[EXEC_START_PRE].first);
	const struct plan_exec *stop = plan_exec(plan, unit->exec[EXEC_STOP].first);
	const struct plan_exec *post = plan_exec(plan, unit->exec[EXEC_STOP_POST].first);

	assert_string_equal(plan_string(plan, start->path), "/usr/bin/app");
	assert_int_equal(start->flags, EXEC_OWN_ARGV0);
	assert_int_equal(start->argv.count, ARRAY_COUNT(argv));
	for (uint32_t i = 0; i < ARRAY_COUNT(argv); i++)
		assert_string_equal(tree_argument(plan, start, i), argv[i]);
	assert_int_equal(pre->flags, EXEC_IGNORE_FAILURE | EXEC_FULL_RIGHTS);
	assert_int_equal(stop->flags, EXEC_BUILTIN_KILL);
	assert_string_equal(tree_argument(plan, stop, 2), "\x01");
	assert_string_equal(tree_argument(plan, post, 1), "\x02");
	assert_string_equal(tree_argument(plan, post, 2), "\x03/\x04");
}

static void check_life(const struct plan_unit *unit)
{
	assert_int_equal(unit->type, SERVICE_NOTIFY);
	assert_int_equal(unit->notify_access, NOTIFY_MAIN);
	assert_int_equal(unit->restart, RESTART_ON_FAILURE);
	assert_int_equal(unit->restart_us, 2000000);
	assert_int_equal(unit->restart_max_us, 2000000);
	assert_true(unit->timeout_start_us == PLAN_INFINITY_US);
	assert_int_equal(unit->timeout_stop_us, 10000000);
	assert_int_equal(unit->timeout_abort_us, 10000000);
	assert_int_equal(unit->watchdog_us, 5000000);
	assert_true(unit->runtime_max_us == PLAN_INFINITY_US);
	assert_int_equal(unit->drain_us, 5000000);
	assert_int_equal(unit->kill_mode, KILL_MIXED);
	assert_int_equal(unit->kill_signal, SIGINT);
	assert_int_equal(unit->restart_kill_signal, SIGINT);
	assert_int_equal(unit->final_kill_signal, SIGKILL);
	assert_true(plan_status_has(&plan_unit_statuses(&tree.plan, unit)->success, CLD_EXITED, 3));
	assert_true(
		plan_status_has(&plan_unit_statuses(&tree.plan, unit)->success, CLD_EXITED, 75));
	assert_true(plan_status_has(&plan_unit_statuses(&tree.plan, unit)->success, CLD_KILLED,
				    SIGUSR1));
	assert_false(
		plan_status_has(&plan_unit_statuses(&tree.plan, unit)->success, CLD_EXITED, 0));
	assert_int_equal(unit->failure_action, ACTION_EXIT);
	assert_int_equal(unit->success_action, ACTION_EXIT);
	assert_int_equal(unit->failure_status, 256);
}

static void check_rights(const struct plan_unit *unit)
{
	const uint32_t expected = UNIT_WANTED | UNIT_ESSENTIAL | UNIT_SEND_SIGKILL |
				  UNIT_IGNORE_SIGPIPE | UNIT_NO_NEW_PRIVILEGES | UNIT_PRIVATE_TMP |
				  UNIT_AMBIENT | UNIT_BOUNDING | UNIT_OOM_SCORE | UNIT_NICE;
	static const uint32_t groups[] = {110, 4, 70};

	assert_int_equal(unit->flags, expected);
	assert_int_equal(unit->uid, 33);
	assert_int_equal(unit->gid, 34);
	assert_int_equal(unit->groups.count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(plan_list_get(&tree.plan, unit->groups, i), groups[i]);
	assert_int_equal(unit->bounding_capabilities, 1 << 10);
	assert_int_equal(unit->ambient_capabilities, 1 << 10);
	assert_int_equal(unit->limits.count, 1);
	assert_int_equal(plan_limit(&tree.plan, unit->limits.first)->resource, RLIMIT_NOFILE);
	assert_int_equal(plan_limit(&tree.plan, unit->limits.first)->hard, 2048);
	assert_int_equal(unit->umask, 0077);
	assert_int_equal(unit->nice, -5);
	assert_int_equal(unit->oom_score_adjust, 100);
	assert_string_equal(plan_string(&tree.plan, unit->user_name), "web");
	assert_string_equal(plan_string(&tree.plan, unit->home), "/var/www");
	assert_string_equal(plan_string(&tree.plan, unit->shell), "");
	assert_string_equal(plan_string(&tree.plan, unit->pid_file), "/run/api.pid");
	assert_string_equal(plan_string(&tree.plan, unit->working_directory), "/srv");
	assert_int_equal(unit->working_directory_optional, 1);
}

static void check_environment(const struct plan_unit *unit)
{
	static const struct {
		const char *name, *value;
	} rows[] = {
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"USER", "web"},
		{"LOGNAME", "web"},
		{"HOME", "/var/www"},
		{"SHELL", NULL},
		{"A", NULL},
		{"B", "two words"},
		{"FROM_FILE", "a b"},
		{"RUNTIME_DIRECTORY", "/run/api:/run/api/sub"},
		{"STATE_DIRECTORY", "/var/lib/api"},
		{"CREDENTIALS_DIRECTORY", "/run/holdfast/credentials/api.service"},
		{"TOKEN", NULL},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		const char *value = tree_variable(&tree, unit, rows[i].name);
		if (rows[i].value)
			assert_string_equal(value, rows[i].value);
		else
			assert_null(value);
	}
}

static void check_lists(const struct plan_unit *unit)
{
	const struct plan *plan = &tree.plan;
	const struct plan_condition *c = plan_condition(plan, unit->conditions.first);
	const struct plan_directory *d = plan_directory(plan, unit->directories.first);
	const struct plan_scratch *s = plan_scratch(plan, unit->scratch.first);
	const struct plan_secret *secret = plan_secret(plan, unit->secrets.first);
	const struct plan_probe *ready = plan_unit_probe(plan, unit, PROBE_READINESS);
	const struct plan_probe *alive = plan_unit_probe(plan, unit, PROBE_LIVENESS);

	assert_int_equal(unit->conditions.count, 2);
	assert_int_equal(c[0].flags, CONDITION_TRIGGER | CONDITION_NEGATE);
	assert_string_equal(plan_string(plan, c[0].text), "ConditionPathExists=|!/run/stop");
	assert_int_equal(c[1].flags, CONDITION_ASSERT);
	assert_int_equal(unit->directories.count, 3);
	assert_int_equal(d[0].mode, 0700);
	assert_string_equal(plan_string(plan, d[2].path), "/var/lib/api");
	assert_int_equal(s->size_bytes, 64 << 20);
	assert_int_equal(s->mode, 0750);
	assert_int_equal(s->flags, SCRATCH_OWN_MODE);
	assert_int_equal(unit->secrets.count, 3);
	assert_string_equal(plan_string(plan, secret[0].name), "tls");
	assert_string_equal(plan_string(plan, secret[0].reference), "file:/etc/tls.key");
	assert_int_equal(secret[1].delivery, SECRET_ENVIRONMENT);
	assert_int_equal(secret[1].line, 42);
	assert_int_equal(secret[2].flags, SECRET_OPTIONAL);
	assert_int_equal(ready->type, PROBE_HTTP);
	assert_string_equal(plan_string(plan, ready->target), "http://127.0.0.1:8080/ready");
	assert_int_equal(ready->period_us, 5000000);
	assert_int_equal(ready->failure_threshold, 3);
	assert_int_equal(alive->type, PROBE_EXEC);
	assert_int_equal(alive->exec.count, 1);
	assert_int_equal(plan_unit_probe(plan, unit, PROBE_STARTUP)->type, PROBE_NONE);
}

static void test_a_service(void **state)
{
	(void)state;
	write_full_service();
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "api.service");
	assert_string_equal(plan_string(&tree.plan, unit->description), "The api of h.example");
	check_commands(unit);
	check_life(unit);
	check_rights(unit);
	check_environment(unit);
	check_lists(unit);
}

/* Nothing that may hold a value is anywhere in the public plan's bytes. */
static void test_resources(void **state)
{
	static const char *const expected[] = {
		"memory.high=50331648", "memory.max=67108864", "memory.swap.max=0",
		"memory.oom.group=1",	"pids.max=20",	       "cpu.weight=50",
		"io.weight=10000",	"cpu.max=25000 10000",
	};

	(void)state;
	tree_unit(&tree, "a.service",
		  "[Service]\nExecStart=/usr/bin/app\nMemoryMax=1G\nMemoryMax=64M\nMemoryHigh=48M\n"
		  "MemorySwapMax=0\nMemoryLow=1M\nMemoryLow=\nTasksMax=20\nCPUWeight=50\n"
		  "IOWeight=10000\nCPUQuota=250%\nCPUQuotaPeriodSec=10ms\nOOMPolicy=kill\n");
	tree_units(&tree, "a.service");
	tree_take(&tree);
	struct plan_list list = tree_find(&tree, "a.service")->resources;
	assert_int_equal(list.count, ARRAY_COUNT(expected));
	for (uint32_t i = 0; i < list.count; i++)
		assert_string_equal(plan_string(&tree.plan, plan_list_get(&tree.plan, list, i)),
				    expected[i]);
}

static const char *first_resource(void)
{
	struct plan_list list = tree_find(&tree, "a.service")->resources;

	return list.count == 0 ? NULL : plan_string(&tree.plan, plan_list_get(&tree.plan, list, 0));
}

static void test_a_share_of_all_tasks(void **state)
{
	static const struct {
		const char *value, *expected;
	} rows[] = {{"25%", "pids.max=100"}, {"1%", "pids.max=4"}, {"100%", "pids.max=400"}};

	(void)state;
	tree_write(&tree, "proc/sys/kernel/pid_max", "4000\n", 0644);
	tree_write(&tree, "proc/sys/kernel/threads-max", "800\n", 0644);
	tree_write(&tree, "sys/fs/cgroup/pids.max", "400\n", 0644);
	tree_units(&tree, "a.service");
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		char text[128];
		(void)snprintf(text, sizeof(text),
			       "[Service]\nExecStart=/usr/bin/app\nTasksMax=%s\n", rows[i].value);
		tree_unit(&tree, "a.service", text);
		tree_take(&tree);
		assert_string_equal(first_resource(), rows[i].expected);
	}
	/* No bound of the container's: the machine's. Few are one at least. */
	tree_write(&tree, "sys/fs/cgroup/pids.max", "max\n", 0644);
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\nTasksMax=50%\n");
	tree_take(&tree);
	assert_string_equal(first_resource(), "pids.max=400");
	tree_write(&tree, "proc/sys/kernel/pid_max", "40\n", 0644);
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\nTasksMax=1%\n");
	tree_take(&tree);
	assert_string_equal(first_resource(), "pids.max=1");
}

static void test_the_public_plan_tells_nothing(void **state)
{
	static const char *const hidden[] = {"two words", "a b",	  "--name",  "--check",
					     "file:/etc", "/etc/tls.key", "--alive", "FROM_FILE"};

	(void)state;
	write_full_service();
	tree_take(&tree);
	const struct plan *plan = &tree.public_plan;
	const struct plan_unit *unit = plan_unit(plan, 0);
	const struct plan_exec *exec = plan_exec(plan, unit->exec[EXEC_START].first);

	assert_true(plan->header->flags & PLAN_IS_PUBLIC);
	assert_int_equal(unit->environment.count, 0);
	assert_int_equal(exec->argv.count, 1);
	assert_string_equal(tree_argument(plan, exec, 0), "app");
	/* Of a reference only its kind, for the dump. */
	assert_string_equal(plan_string(plan, plan_secret(plan, unit->secrets.first)->reference),
			    "file:");
	for (size_t i = 0; i < ARRAY_COUNT(hidden); i++)
		assert_null(memmem(plan->base, plan->header->size, hidden[i], strlen(hidden[i])));
	assert_non_null(memmem(tree.plan.base, tree.plan.header->size, hidden[2], 6));
}

/* What is written down, so that it has a name to be shown by; nothing that was filled in. */
static void test_a_path_is_named_in_the_public_plan(void **state)
{
	static const char *const environment[] = {"STAGE=planted", NULL};

	(void)state;
	tree.request.environment = environment;
	tree_write(&tree, "etc/holdfast/holdfast.conf", "[Holdfast]\nUnits=a.service\n", 0644);
	tree_unit(&tree, "a.service",
		  "[Service]\nExecStart=/usr/bin/app\n"
		  "[X-Holdfast]\nSecretPath=ssm:/shop/${STAGE}/all/\n");
	tree_take(&tree);
	const struct plan_secret *secret = plan_secret(&tree.plan, 0);
	assert_string_equal(plan_string(&tree.plan, secret->name), "");
	assert_string_equal(plan_string(&tree.plan, secret->reference), "ssm:/shop/planted/all/");
	const struct plan *plan = &tree.public_plan;
	assert_string_equal(plan_string(plan, plan_secret(plan, 0)->name),
			    "ssm:/shop/${STAGE}/all/");
	assert_null(memmem(plan->base, plan->header->size, "planted", 7));
}

static void test_the_header(void **state)
{
	(void)state;
	tree_write(&tree, "etc/os-release", "ID=x\nIMAGE_ID=\"shop\"\nIMAGE_VERSION=7\n", 0644);
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\nStopTimeoutSec=40\nDrainSec=3\nLogFormat=plain\n"
		   "[Health]\nDetail=all\n[Scratch]\n/tmp=size=16M,exec\n/var/cache=mode=0700\n"
		   "[Log]\nRingSize=100K\n",
		   0644);
	tree_take(&tree);
	const struct plan_header *header = tree.plan.header;
	assert_int_equal(header->stop_timeout_us, 40000000);
	assert_int_equal(header->drain_us, 3000000);
	assert_int_equal(tree_find(&tree, "a.service")->drain_us, 3000000);
	assert_int_equal(header->log_format, LOG_PLAIN);
	assert_int_equal(header->health_detail, DETAIL_ALL);
	assert_int_equal(header->ring_bytes, 128 << 10);
	assert_string_equal(plan_string(&tree.plan, header->image_id), "shop");
	assert_string_equal(plan_string(&tree.plan, header->image_version), "7");
	assert_int_equal(header->scratch.count, 2);
	assert_int_equal(plan_scratch(&tree.plan, header->scratch.first)->flags, SCRATCH_EXEC);
	assert_int_equal(header->main_unit, PLAN_NO_UNIT);
	assert_int_equal(header->flags, PLAN_IS_PID1);
	assert_string_equal(plan_string(&tree.plan, plan_protection(&tree.plan, 0)->rung),
			    "verity");
	assert_string_equal(units_conf(tree.units)->listen[0], ":9180");
}

/* ---------------------------------------------------------------- tmpfiles.d */

static void test_folders_of_packages(void **state)
{
	const struct units_folder *folders;

	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\n[Scratch]\n/var/log=size=1M\n", 0644);
	tree_write(&tree, "usr/lib/tmpfiles.d/a.conf",
		   "# comment\n\nd /run/web 2775 web www -\n  D! /var/run/x/ - - - -\n"
		   "d \"/run/two words\" ~0700 web - 10d\nd /var/log/web 0750 33 :ssl\n"
		   "d /var/lib/web 0755\nL /run/link - - - - /etc\nf /run/file\n"
		   "d /run/systemd/x\nd /run/%b\nd /run/a/../../etc 0777\nd /run/holdfast/x\nd\n"
		   "v /run/last",
		   0644);
	tree_write(&tree, "usr/lib/tmpfiles.d/gone.conf", "d /run/gone\n", 0644);
	tree_link(&tree, "etc/tmpfiles.d/gone.conf", "/dev/null");
	tree_write(&tree, "usr/lib/tmpfiles.d/over.conf", "d /run/old\n", 0644);
	tree_write(&tree, "etc/tmpfiles.d/over.conf", "d /run/new\n", 0644);
	tree_write(&tree, "usr/lib/tmpfiles.d/README", "d /run/readme\n", 0644);
	const struct diag_list *list = tree_load(&tree);
	tree_say(list);
	assert_int_equal(list->count, 0);
	assert_int_equal(units_folders(tree.units, &folders), 6);
	assert_string_equal(folders[0].path, "/run/new");
	assert_string_equal(folders[1].path, "/run/web");
	assert_int_equal(folders[1].mode, 02775);
	assert_int_equal(folders[1].uid, 33);
	assert_int_equal(folders[1].gid, 34);
	assert_string_equal(folders[2].path, "/run/x");
	assert_int_equal(folders[2].mode, 0755);
	assert_int_equal(folders[2].uid, 0);
	assert_string_equal(folders[3].path, "/run/two words");
	assert_int_equal(folders[3].mode, 0700);
	assert_int_equal(folders[3].gid, 0);
	assert_string_equal(folders[4].path, "/var/log/web");
	assert_int_equal(folders[4].uid, 33);
	assert_int_equal(folders[4].gid, 110);
	assert_string_equal(folders[5].path, "/run/last");
}

static void test_folders_that_cannot_be(void **state)
{
	const struct units_folder *folders;

	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_units(&tree, "a.service");
	tree_write(&tree, "usr/lib/tmpfiles.d/a.conf",
		   "d /run/a 0755 nobody-here\nd /run/b 9\nd /run/c 0755 web no-group\n", 0644);
	const struct diag_list *list = tree_load(&tree);
	assert_int_equal(list->count, 3);
	assert_int_equal(list->n_errors, 0);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(list->items[i].line, i + 1);
		assert_string_equal(list->items[i].file, "/usr/lib/tmpfiles.d/a.conf");
		assert_non_null(strstr(list->items[i].message, "is not made"));
	}
	assert_int_equal(units_folders(tree.units, &folders), 0);
}

/* ---------------------------------------------------------------- where units come from */

static void test_drop_ins(void **state)
{
	(void)state;
	tree_units(&tree, "a-b@x.service");
	tree_write(&tree, "usr/lib/systemd/system/a-b@.service",
		   "[Unit]\nDescription=base\n[Service]\nExecStart=/usr/bin/app old\n"
		   "Environment=A=1 B=1 C=1 D=1\n",
		   0644);
	tree_write(&tree, "etc/systemd/system/a-b@.service.d/20-b.conf",
		   "[Service]\nExecStart=\nExecStart=/usr/bin/app new %i\nEnvironment=B=20\n",
		   0644);
	tree_write(&tree, "etc/holdfast/units/a-b@x.service.d/10-a.conf",
		   "[Service]\nEnvironment=A=10 B=10\n", 0644);
	/* The first folder's file of a name hides all later ones. */
	tree_write(&tree, "usr/lib/systemd/system/a-b@x.service.d/10-a.conf", "broken\n", 0644);
	tree_write(&tree, "etc/systemd/system/service.d/30-c.conf", "[Service]\nEnvironment=C=30\n",
		   0644);
	tree_write(&tree, "etc/systemd/system/a-.service.d/40-d.conf",
		   "[Service]\nEnvironment=D=40\n", 0644);
	tree_link(&tree, "etc/holdfast/units/a-b@x.service.d/90-masked.conf", "/dev/null");
	tree_write(&tree, "usr/lib/systemd/system/a-b@.service.d/90-masked.conf", "broken\n", 0644);
	tree_write(&tree, "etc/systemd/system/a-b@.service.d/readme", "broken\n", 0644);
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "a-b@x.service");
	assert_int_equal(unit->exec[EXEC_START].count, 1);
	assert_string_equal(
		tree_argument(&tree.plan, plan_exec(&tree.plan, unit->exec[EXEC_START].first), 2),
		"x");
	assert_string_equal(tree_variable(&tree, unit, "A"), "10");
	assert_string_equal(tree_variable(&tree, unit, "B"), "20");
	assert_string_equal(tree_variable(&tree, unit, "C"), "30");
	assert_string_equal(tree_variable(&tree, unit, "D"), "40");
}

static void test_aliases_and_masks(void **state)
{
	(void)state;
	tree_units(&tree, "front.service old@7.service");
	tree_unit(&tree, "front.service",
		  "[Unit]\nWants=gone.service mysql.service\nAfter=mysql.service\n"
		  "[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "mariadb.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "new@.service", "[Service]\nExecStart=/usr/bin/app %i\n");
	tree_link(&tree, "etc/systemd/system/mysql.service", "/etc/holdfast/units/mariadb.service");
	tree_link(&tree, "etc/holdfast/units/old@.service", "new@.service");
	tree_link(&tree, "etc/systemd/system/gone.service", "/dev/null");
	tree_take(&tree);
	assert_true(tree_related(&tree, "front.service", REL_WANTS, "mariadb.service"));
	assert_true(tree_related(&tree, "mariadb.service", REL_WANTED_BY, "front.service"));
	assert_true(tree_related(&tree, "mariadb.service", REL_BEFORE, "front.service"));
	assert_int_equal(plan_find_unit(&tree.plan, "gone.service"), PLAN_NO_UNIT);
	assert_true(tree_find(&tree, "new@7.service")->flags & UNIT_ESSENTIAL);
	assert_false(tree_find(&tree, "mariadb.service")->flags & UNIT_ESSENTIAL);
	assert_true(tree_find(&tree, "mariadb.service")->flags & UNIT_WANTED);

	tree_units(&tree, "gone.service");
	assert_int_equal(tree_load(&tree)->n_errors, 1);
	assert_int_equal(tree_diag(&tree, "it is masked")->line, 2);
}

static void test_links_of_wants(void **state)
{
	(void)state;
	tree_units(&tree, "app.target");
	tree_unit(&tree, "app.target", "[Unit]\nDescription=all\n");
	tree_unit(&tree, "one.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "two.service",
		  "[Unit]\nBefore=app.target\n[Service]\nExecStart=/usr/bin/app\n");
	tree_link(&tree, "etc/holdfast/units/app.target.wants/one.service", "../one.service");
	tree_link(&tree, "etc/systemd/system/app.target.requires/two.service", "nowhere");
	tree_take(&tree);
	assert_true(tree_related(&tree, "app.target", REL_WANTS, "one.service"));
	assert_true(tree_related(&tree, "app.target", REL_REQUIRES, "two.service"));
	/* A target is reached after what it pulls in. */
	assert_true(tree_related(&tree, "app.target", REL_AFTER, "one.service"));
	assert_true(tree_related(&tree, "app.target", REL_AFTER, "two.service"));
	assert_true(tree_find(&tree, "one.service")->flags & UNIT_WANTED);
	assert_int_equal(tree_find(&tree, "app.target")->failure_action, ACTION_NONE);
}

static void test_standard_targets(void **state)
{
	(void)state;
	tree_units(&tree, "a.service b.service");
	tree_unit(
		&tree, "a.service",
		"[Unit]\nBefore=network.target\nConflicts=shutdown.target\nBefore=shutdown.target\n"
		"DefaultDependencies=no\n[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "b.service",
		  "[Unit]\nAfter=network-online.target\nWants=network-online.target\n"
		  "[Service]\nExecStart=/usr/bin/app\n");
	tree_take(&tree);
	assert_int_equal(plan_unit_count(&tree.plan), 4);
	assert_true(tree_related(&tree, "network-online.target", REL_AFTER, "network.target"));
	assert_true(tree_related(&tree, "network.target", REL_AFTER, "a.service"));
	assert_true(tree_find(&tree, "network.target")->flags & UNIT_WANTED);
	assert_int_equal(tree_find(&tree, "network.target")->kind, UNIT_TARGET);
}

static void test_what_asks_a_service_comes_after_the_network(void **state)
{
	const struct plan_unit *dhcp;

	(void)state;
	tree_units(&tree, "dhcp.service app.service other.service key.service");
	tree_unit(&tree, "dhcp.service",
		  "[Unit]\nBefore=network-online.target\n[Service]\nType=notify\nNotifyAccess=all\n"
		  "ExecStart=/usr/bin/app a${NOTIFY_SOCKET}b\n");
	tree_unit(&tree, "app.service",
		  "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\nSecret=A ssm:/a\n");
	tree_unit(&tree, "other.service", "[Service]\nExecStart=/usr/bin/app\n");
	/* The network itself needs this one. */
	tree_unit(&tree, "key.service",
		  "[Unit]\nBefore=dhcp.service\n[Service]\nExecStart=/usr/bin/app\n"
		  "[X-Holdfast]\nSecret=A ssm:/a\n");
	tree_take(&tree);
	assert_true(tree_related(&tree, "app.service", REL_AFTER, "network-online.target"));
	assert_true(tree_related(&tree, "network-online.target", REL_BEFORE, "app.service"));
	assert_false(tree_related(&tree, "other.service", REL_AFTER, "network-online.target"));
	assert_false(tree_related(&tree, "key.service", REL_AFTER, "network-online.target"));
	assert_true(tree_find(&tree, "network-online.target")->flags & UNIT_PATIENT);
	dhcp = tree_find(&tree, "dhcp.service");
	assert_string_equal(
		tree_argument(&tree.plan, plan_exec(&tree.plan, dhcp->exec[EXEC_START].first), 1),
		"a/run/holdfast/notifyb");
}

static void test_sockets(void **state)
{
	(void)state;
	tree_units(&tree, "web.socket");
	tree_unit(&tree, "web.socket",
		  "[Socket]\nListenStream=8080\nListenStream=127.0.0.1:80\nListenStream=[::1]:81\n"
		  "ListenDatagram=/run/web\nListenSequentialPacket=@web\nSocketUser=web\n"
		  "SocketMode=0660\nFileDescriptorName=http\nNoDelay=yes\n");
	tree_unit(&tree, "web.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_take(&tree);
	assert_int_equal(plan_section_count(&tree.plan, PLAN_SOCKETS), 5);
	static const struct {
		uint32_t domain, type;
	} rows[] = {{AF_INET6, SOCK_STREAM},
		    {AF_INET, SOCK_STREAM},
		    {AF_INET6, SOCK_STREAM},
		    {AF_UNIX, SOCK_DGRAM},
		    {AF_UNIX, SOCK_SEQPACKET}};
	for (uint32_t i = 0; i < 5; i++) {
		const struct plan_socket *socket = plan_socket(&tree.plan, i);
		assert_int_equal(socket->domain, rows[i].domain);
		assert_int_equal(socket->type, rows[i].type);
		assert_int_equal(socket->uid, 33);
		assert_int_equal(socket->gid, 34);
		assert_int_equal(socket->mode, 0660);
		assert_string_equal(plan_string(&tree.plan, socket->fd_name), "http");
	}
	assert_true(tree_related(&tree, "web.socket", REL_TRIGGERS, "web.service"));
	assert_true(tree_related(&tree, "web.service", REL_TRIGGERED_BY, "web.socket"));
	assert_true(tree_related(&tree, "web.service", REL_AFTER, "web.socket"));
	assert_false(tree_find(&tree, "web.service")->flags & UNIT_WANTED);
	assert_int_equal(tree_diag(&tree, "NoDelay=: known, but not honoured")->line, 10);
}

static void test_what_is_essential(void **state)
{
	(void)state;
	tree_units(&tree, "a.service once.service off.service");
	tree_unit(&tree, "a.service",
		  "[Unit]\nRequires=b.service\n[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "b.service",
		  "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\nEssential=yes\n");
	tree_unit(&tree, "once.service", "[Service]\nType=oneshot\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "off.service",
		  "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\nEssential=no\n");
	tree_take(&tree);
	assert_int_equal(tree_find(&tree, "a.service")->success_action, ACTION_EXIT);
	assert_int_equal(tree_find(&tree, "b.service")->failure_action, ACTION_EXIT);
	assert_int_equal(tree_find(&tree, "once.service")->failure_action, ACTION_EXIT);
	/* It has done its work; the instance goes on. */
	assert_int_equal(tree_find(&tree, "once.service")->success_action, ACTION_NONE);
	assert_true(tree_find(&tree, "once.service")->timeout_start_us == PLAN_INFINITY_US);
	assert_false(tree_find(&tree, "off.service")->flags & UNIT_ESSENTIAL);
}

/* ---------------------------------------------------------------- -- CMD */

static void test_a_command(void **state)
{
	static const char *const environment[] = {"PATH=/opt:/usr/bin", "T=v", NULL};
	static const char *const keys[] = {"X-Holdfast.Secret=TOKEN env:T", "Service.User=db",
					   NULL};
	char *argv[] = {(char[]){"app"}, (char[]){"$HOME"}, (char[]){"%n \"x"}, NULL};
	struct units_command command = {
		.argv = argv, .keys = keys, .is_group = true, .pdeath_signal = SIGTERM};

	(void)state;
	for (int i = 0; i < 256; i++)
		command.remap[i] = (uint8_t)(i == 143 ? 0 : i);
	tree.request.command = &command;
	tree.request.environment = environment;
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "main.service");
	const struct plan_exec *exec = plan_exec(&tree.plan, unit->exec[EXEC_START].first);
	assert_int_equal(tree.plan.header->main_unit, 0);
	assert_true(tree.plan.header->flags & PLAN_MAIN_COMMAND);
	assert_int_equal(tree.plan.header->log_format, LOG_RAW);
	assert_null(units_conf(tree.units)->listen[0]);
	assert_string_equal(plan_string(&tree.plan, exec->path), "/usr/bin/app");
	assert_string_equal(tree_argument(&tree.plan, exec, 0), "app");
	assert_string_equal(tree_argument(&tree.plan, exec, 1), "$HOME");
	assert_string_equal(tree_argument(&tree.plan, exec, 2), "%n \"x");
	assert_int_equal(unit->flags, UNIT_NO_NEW_PRIVILEGES | UNIT_IS_MAIN | UNIT_ESSENTIAL |
					      UNIT_WANTED | UNIT_INHERIT_ENVIRONMENT |
					      UNIT_STDIN_INHERIT | UNIT_KILL_GROUP |
					      UNIT_SEND_SIGKILL);
	assert_int_equal(unit->restart, RESTART_NO);
	assert_int_equal(unit->success_action, ACTION_EXIT);
	assert_int_equal(tree.plan.header->remap[143], 0);
	assert_int_equal(unit->uid, 70);
	assert_null(tree_variable(&tree, unit, "PATH"));
	assert_string_equal(tree_variable(&tree, unit, "HOME"), "/var/lib/db");
	assert_int_equal(unit->secrets.count, 1);

	argv[0] = (char[]){"./app"};
	command.directory = "/usr/bin";
	tree_take(&tree);
	exec = plan_exec(&tree.plan, tree_find(&tree, "main.service")->exec[EXEC_START].first);
	assert_string_equal(plan_string(&tree.plan, exec->path), "/usr/bin/./app");
	argv[0] = (char[]){"absent"};
	(void)tree_load(&tree);
	assert_int_equal(tree_diag(&tree, "absent: not found")->status, 127);
	argv[0] = (char[]){"data"};
	(void)tree_load(&tree);
	assert_int_equal(tree_diag(&tree, "data: not executable")->status, 126);
}

static void test_references_are_filled_in(void **state)
{
	static const char *const environment[] = {"ENV=passwd", NULL};

	(void)state;
	tree_units(&tree, "a.service");
	tree_unit(&tree, "a.service",
		  "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\nSecret=A file:/etc/${ENV}\n");
	tree.request.environment = environment;
	tree_take(&tree);
	assert_string_equal(plan_string(&tree.plan, plan_secret(&tree.plan, 0)->reference),
			    "file:/etc/passwd");
}

#define TEST(name) TREE_TEST(name, tree_set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_service),
		TEST(test_resources),
		TEST(test_a_share_of_all_tasks),
		TEST(test_the_public_plan_tells_nothing),
		TEST(test_a_path_is_named_in_the_public_plan),
		TEST(test_the_header),
		TEST(test_folders_of_packages),
		TEST(test_folders_that_cannot_be),
		TEST(test_drop_ins),
		TEST(test_aliases_and_masks),
		TEST(test_links_of_wants),
		TEST(test_standard_targets),
		TEST(test_what_asks_a_service_comes_after_the_network),
		TEST(test_sockets),
		TEST(test_what_is_essential),
		TEST(test_a_command),
		TEST(test_references_are_filled_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
