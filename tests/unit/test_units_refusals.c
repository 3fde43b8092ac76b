/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* What units and holdfast.conf are refused for, or warned of, each by its file, line and column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sysexits.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "tests/unit/units_tree.h"

static struct tree tree;

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tree_remove(&tree);
	return 0;
}

/* ---------------------------------------------------------------- a service */

/* The lines behind [Service] with ExecStart=/usr/bin/app before them, and what is said of them. */
struct refusal {
	const char *lines, *message;
	unsigned line, column;
	enum diag_level level;
};

static void check_refusals(const struct refusal *rows, size_t count)
{
	char text[1024];

	tree_units(&tree, "a.service");
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(text, sizeof(text), "[Service]\nExecStart=/usr/bin/app\n%s\n",
			       rows[i].lines);
		tree_unit(&tree, "a.service", text);
		(void)tree_load(&tree);
		const struct diag *diag = tree_diag(&tree, rows[i].message);
		if (diag->line != rows[i].line || diag->column != rows[i].column ||
		    diag->level != rows[i].level)
			tree_say(units_diagnostics(tree.units));
		assert_int_equal(diag->line, rows[i].line);
		assert_int_equal(diag->column, rows[i].column);
		assert_int_equal(diag->level, rows[i].level);
		assert_string_equal(diag->file, "/etc/holdfast/units/a.service");
		if (diag->level == DIAG_ERROR) {
			void *block;
			size_t size;
			const struct units_facts facts = {0};
			assert_int_equal(units_compile(tree.units, &facts, false, &block, &size),
					 -EINVAL);
		}
	}
}

static void test_a_terminal_to_type_at_is_refused(void **state)
{
	static const struct refusal rows[] = {
		{"StandardInput=tty", "StandardInput=tty is refused: somebody could type", 3, 15,
		 DIAG_ERROR},
		{"TTYPath=/dev/tty1\nStandardInput=tty-force",
		 "StandardInput=tty-force is refused: ", 4, 15, DIAG_ERROR},
		{"StandardInput=socket", "the standard input of a service is null", 3, 15,
		 DIAG_WARNING},
	};

	(void)state;
	check_refusals(rows, ARRAY_COUNT(rows));
	tree_unit(&tree, "a.service",
		  "[Service]\nExecStart=/usr/bin/app\nStandardInput=tty\nStandardInput=null\n"
		  "TTYPath=/dev/console\n");
	assert_int_equal(tree_load(&tree)->count, 0);
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\nShells=warn\n", 0644);
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\nStandardInput=tty\n");
	assert_int_equal(tree_load(&tree)->n_errors, 0);
	assert_int_equal(tree_diag(&tree, "would be refused but for Shells=warn")->level,
			 DIAG_WARNING);
}

static void test_values_that_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{"Type=fork", "expected simple, exec, oneshot", 3, 6, DIAG_ERROR},
		{"Type=dbus", "there is no bus", 3, 6, DIAG_ERROR},
		{"Restart=allways", "expected no, on-success", 3, 9, DIAG_ERROR},
		{"Type=oneshot\nRestart=always", "does not go with Type=oneshot", 4, 9, DIAG_ERROR},
		{"ExecStart=/usr/bin/app", "a second ExecStart=", 3, 11, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/nope", "/usr/bin/nope: No such file", 3, 14, DIAG_ERROR},
		{"ExecStartPre=-/usr/bin/nope", "/usr/bin/nope: No such file", 3, 14, DIAG_WARNING},
		{"ExecStartPre=/usr/bin/data", "is no executable file", 3, 14, DIAG_ERROR},
		{"ExecStartPre=bin/app", "expected an absolute path or the name", 3, 14,
		 DIAG_ERROR},
		{"ExecStartPre=/usr/bin/app \"x", "a quote that is never closed", 3, 27,
		 DIAG_ERROR},
		{"ExecStartPre=--/usr/bin/app", "prefix \"-\" twice", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/app %Z", "unknown specifier %Z", 3, 27, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/app ${NOPE}", "${NOPE} is not set", 3, 14, DIAG_WARNING},
		{"ExecStartPre=/usr/bin/app > /var/log/app.log 2>&1",
		 "no shell reads this line: \">\" is passed on", 3, 14, DIAG_WARNING},
		{"User=nobody2", "no user \"nobody2\"", 3, 6, DIAG_ERROR},
		{"Group=nogroup2", "no group \"nogroup2\"", 3, 7, DIAG_ERROR},
		{"DynamicUser=yes", "DynamicUser= cannot be honoured", 3, 13, DIAG_ERROR},
		{"EnvironmentFile=/etc/nope", "/etc/nope cannot be read", 3, 17, DIAG_ERROR},
		{"Environment=A=1 2B=x", "expected NAME=VALUE", 3, 17, DIAG_ERROR},
		{"TimeoutSec=5 parsecs", "expected a time span", 3, 12, DIAG_ERROR},
		{"KillSignal=SIGNOPE", "expected a signal", 3, 12, DIAG_ERROR},
		{"UMask=9", "expected an octal mode", 3, 7, DIAG_ERROR},
		{"LimitNOFILE=lots", "expected a limit", 3, 13, DIAG_ERROR},
		{"CapabilityBoundingSet=CAP_X", "expected a capability", 3, 23, DIAG_ERROR},
		{"RuntimeDirectory=../x", "expected a relative path", 3, 18, DIAG_ERROR},
		{"TemporaryFileSystem=/x:size=big", "expected size=64M", 3, 24, DIAG_ERROR},
		{"WorkingDirectory=here", "expected an absolute path", 3, 18, DIAG_ERROR},
		{"SuccessExitStatus=1 999", "expected an exit status", 3, 21, DIAG_ERROR},
		{"TemporaryFileSystem=/x:device=/dev/sda", "is for [Scratch] of holdfast.conf", 3,
		 24, DIAG_ERROR},
		{"MemoryMax=much", "expected a size such as 64M, a share", 3, 11, DIAG_ERROR},
		{"MemoryHigh=101%", "expected a size such as 64M, a share", 3, 12, DIAG_ERROR},
		{"TasksMax=0", "expected a number of tasks", 3, 10, DIAG_ERROR},
		{"TasksMax=0%", "a share such as 25%", 3, 10, DIAG_ERROR},
		{"CPUQuota=20", "expected the share of one processor", 3, 10, DIAG_ERROR},
		{"CPUQuota=0%", "expected the share of one processor", 3, 10, DIAG_ERROR},
		{"CPUQuotaPeriodSec=ever", "expected a time span from 1ms", 3, 19, DIAG_ERROR},
		{"CPUWeight=10001", "expected a weight from 1 to 10000", 3, 11, DIAG_ERROR},
		{"OOMPolicy=pardon", "expected stop, kill or continue", 3, 11, DIAG_ERROR},
		{"RemainAfterExit=perhaps", "expected yes or no", 3, 17, DIAG_ERROR},
		{"Type=forking", "Type=forking without PIDFile=", 3, 6, DIAG_WARNING},
		{"StandardOutput=tty", "is not honoured: the output goes to the log", 3, 16,
		 DIAG_WARNING},
	};

	(void)state;
	check_refusals(rows, ARRAY_COUNT(rows));
}

static void test_keys_that_are_not_honoured(void **state)
{
	static const struct refusal rows[] = {
		{"ProtectSystem=strict", "not enforced yet", 3, 1, DIAG_WARNING},
		{"CPUAffinity=1", "known, but not honoured", 3, 1, DIAG_WARNING},

		{"Restrat=no", "did you mean Restart=?", 3, 1, DIAG_WARNING},
		{"Description=x", "expected it in [Unit]", 3, 1, DIAG_WARNING},
		{"Period=3", "unknown key Period=", 3, 1, DIAG_WARNING},
		{"[Sevice]", "did you mean [Service]?", 3, 1, DIAG_WARNING},
		{"[Socket]", "[Socket] has no meaning in a .service file", 3, 1, DIAG_WARNING},
		{"[X-Holdfats]", "did you mean [X-Holdfast]?", 3, 1, DIAG_WARNING},
	};

	(void)state;
	check_refusals(rows, ARRAY_COUNT(rows));
	assert_true(tree_diag(&tree, "did you mean")->is_unknown);
	/* What asks for nothing, or is harmless, or is somebody else's, needs no word. */
	tree_unit(&tree, "a.service",
		  "[Service]\nExecStart=/usr/bin/app\nProtectSystem=no\nProtectHome=\n"
		  "SyslogIdentifier=x\nX-Mine=1\nExecReload=/bin/kill -HUP $MAINPID\n"
		  "[Install]\nWantedBy=multi-user.target\n[X-Other]\nA=b\n");
	assert_int_equal(tree_load(&tree)->count, 0);
}

static void test_secrets_that_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{"[X-Holdfast]\nSecret=A ssm:/x/", "expected ssm:NAME", 4, 17, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A ssm:/x:", "expected ssm:NAME", 4, 16, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A ssm:/x:1:2", "expected ssm:NAME", 4, 18, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A ssm:arn:aws:ssm:eu-west-1:1:x", "expected ssm:NAME", 4, 14,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A asm:#k", "expected asm:SECRET", 4, 14, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A asm:a#", "expected asm:SECRET", 4, 16, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A asm:a#k@", "expected asm:SECRET", 4, 18, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A asm:a@", "expected asm:SECRET", 4, 16, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A vault:kv#k", "expected vault:MOUNT/PATH#KEY", 4, 18,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A vault:kv/a", "expected vault:MOUNT/PATH#KEY", 4, 20,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A vault:kv/../a#k", "expected vault:MOUNT/PATH#KEY", 4, 18,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A vault:kv/a?version=0#k", "expected vault:MOUNT/PATH#KEY",
		 4, 20, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A vault:kv/a?version=2", "expected vault:MOUNT/PATH#KEY", 4,
		 30, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A vault:kv/a?list=1#k", "expected vault:MOUNT/PATH#KEY", 4,
		 20, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A vault:kv/a#", "expected vault:MOUNT/PATH#KEY", 4, 21,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A http://x", "expected a reference", 4, 10, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A file:x", "expected file: and an absolute path", 4, 15,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A", "expected a reference behind the name", 4, 9,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=1A env:X", "expected the name of a variable", 4, 8,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A env:X", "the variable X is not set", 4, 8, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A file:/none", "/none: No such file", 4, 8, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A file:/e/${ENV}/x optional", "${ENV} is not set", 4, 18,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecretFile=a/b file:/x", "expected the name of a file", 4, 12,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A file:/x mode=0400", "expected optional", 4, 18,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecretPath=ssm:/x", "expected ssm:/PATH/", 4, 18, DIAG_ERROR},
		{"[X-Holdfast]\nSecretPath=file:/x/", "expected a path of many", 4, 12, DIAG_ERROR},
		{"[X-Holdfast]\nSecretPath=vault:kv/a#k", "expected vault:MOUNT/PATH,", 4, 22,
		 DIAG_ERROR},
		{"[X-Holdfast]\nSecretPath=ssm:/x/ mode=0400", "expected optional", 4, 20,
		 DIAG_ERROR},
		{"[X-Holdfast]\nRefresh=0", "expected never, or a time span", 4, 9, DIAG_ERROR},
		{"[X-Holdfast]\nOnChange=signal:NONE", "expected none, restart or signal:NAME", 4,
		 10, DIAG_ERROR},
		{"[X-Holdfast]\nSecret=A ssm:/x\nOnChange=signal:HUP", "reaches no secret", 4, 8,
		 DIAG_WARNING},
		{"[X-Holdfast]\nSecret=A ssm:/x\nSecretFile=A asm:y", "the later one holds", 5, 12,
		 DIAG_WARNING},
		{"Environment=A=1\n[X-Holdfast]\nSecret=A ssm:/x", "the secret holds", 5, 8,
		 DIAG_WARNING},
		{"ExecStartPre=/usr/bin/app ${A}\n[X-Holdfast]\nSecret=A file:/etc/passwd",
		 "${A} holds a secret", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/app ${A}\n[X-Holdfast]\nConfig=A file:/etc/passwd",
		 "${A} is fetched when the unit starts", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/app $X\nPassEnvironment=X\n[X-Holdfast]\nSecret=A env:X optional",
		 "${X} holds a secret", 3, 14, DIAG_ERROR},
	};

	(void)state;
	check_refusals(rows, ARRAY_COUNT(rows));
	tree_unit(&tree, "a.service",
		  "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\nSecret=A file:/none\n");
	(void)tree_load(&tree);
	assert_int_equal(tree_diag(&tree, "/none")->status, EX_NOINPUT);
}

/* What remote sources and their life become in the plan; nothing of it in the public one. */
static void test_remote_secrets(void **state)
{
	const struct plan *plan = &tree.plan;

	(void)state;
	tree_units(&tree, "a.service");
	tree_unit(
		&tree, "a.service",
		"[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\nSecret=A ssm:/app/a:12\n"
		"Secret=B ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/app/b:current\n"
		"SecretFile=c asm:app/api-Ab1@x#key.1@AWSPREVIOUS\nSecretFd=D vault:kv/app/d?version=12#k\n"
		"SecretPath=ssm:/app/\nSecretPath=vault:kv/app/all optional\nConfig=E env:HOME "
		"optional\nOnChange=signal:HUP\nRefresh=5min\n");
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Secrets]\nRegion=eu-west-1\nEndpointUrlSsm=https://a/\nRegion=us-east-1\n"
		   "VaultAuth=kubernetes\nUseFipsEndpoint=yes\nEndpointUrlSsm=\n"
		   "FetchTimeoutSec=10\nChangeSplaySec=0\n[Holdfast]\nUnits=a.service\n",
		   0644);
	assert_int_equal(tree_load(&tree)->count, 0);
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, "a.service");
	assert_int_equal(unit->secrets.count, 7);
	static const uint32_t flags[] = {SECRET_IS_REMOTE,
					 SECRET_IS_REMOTE,
					 SECRET_IS_REMOTE,
					 SECRET_IS_REMOTE,
					 SECRET_IS_REMOTE | SECRET_IS_PATH,
					 SECRET_IS_REMOTE | SECRET_IS_PATH | SECRET_OPTIONAL,
					 SECRET_IS_CONFIG | SECRET_OPTIONAL};
	for (uint32_t i = 0; i < 7; i++)
		assert_int_equal(plan_secret(plan, unit->secrets.first + i)->flags, flags[i]);
	assert_int_equal(unit->refresh_us, UINT64_C(300000000));
	assert_int_equal(unit->on_change, CHANGE_SIGNAL);
	assert_int_equal(unit->change_signal, SIGHUP);
	assert_int_equal(plan->header->fetch_timeout_us, 10000000);
	assert_int_equal(plan->header->change_splay_us, 0);
	static const char *const settings[] = {"AWS_REGION=us-east-1",
					       "HOLDFAST_VAULT_AUTH=kubernetes",
					       "AWS_USE_FIPS_ENDPOINT=true"};
	struct plan_list list = plan->header->secret_settings;
	assert_int_equal(list.count, 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_string_equal(plan_string(plan, plan_list_get(plan, list, i)), settings[i]);
}

/* A wrapped secret_id can be had once, and each unit logs in by itself. */
static void test_a_wrapped_secret_id_is_one_units(void **state)
{
	static const char conf[] = "[Holdfast]\nUnits=a.service b.service c.service\n";
	static const char *const environment[] = {"HOLDFAST_VAULT_AUTH=approle",
						  "HOLDFAST_VAULT_WRAPPED=Yes", NULL};
	static const char unit[] = "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\n"
				   "Secret=L file:/usr/bin/data\nSecret=A vault:kv/app/a#k\n";
	char text[256];

	(void)state;
	tree_unit(&tree, "a.service", unit);
	tree_unit(&tree, "b.service", unit);
	tree_unit(&tree, "c.service",
		  "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\nSecret=A ssm:/app/a\n");
	for (int i = 0; i < 3; i++) {
		static const char *const settings[] = {
			"VaultAuth=approle\nVaultWrapped=yes\n",
			"", /* the environment says it */
			"VaultWrapped=no\n",
		};
		(void)snprintf(text, sizeof(text), "%s[Secrets]\n%s", conf, settings[i]);
		tree_write(&tree, "etc/holdfast/holdfast.conf", text, 0644);
		tree.request.environment = i == 0 ? NULL : environment;
		(void)tree_load(&tree);
		if (i == 2) {
			assert_int_equal(units_diagnostics(tree.units)->n_errors, 0);
			break;
		}
		const struct diag *diag = tree_diag(
			&tree, "b.service has a reference to Vault, and so has a.service");
		assert_int_equal(units_diagnostics(tree.units)->n_errors, 1);
		assert_non_null(strstr(diag->message, "VaultTokenFile="));
		assert_int_equal(diag->level, DIAG_ERROR);
		assert_int_equal(diag->status, EX_CONFIG);
		assert_string_equal(diag->file, "/etc/holdfast/units/b.service");
		assert_int_equal(diag->line, 5);
	}
	tree.request.environment = NULL;
	/* One unit, or another way to log in: it is nobody's concern. */
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service c.service\n[Secrets]\nVaultAuth=approle\n"
		   "VaultWrapped=yes\n",
		   0644);
	assert_int_equal(tree_load(&tree)->n_errors, 0);
	(void)snprintf(text, sizeof(text), "%s[Secrets]\nVaultAuth=aws\nVaultWrapped=yes\n", conf);
	tree_write(&tree, "etc/holdfast/holdfast.conf", text, 0644);
	assert_int_equal(tree_load(&tree)->n_errors, 0);
}

static void test_probes_that_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{"[X-Readiness]\nHTTPGet=https://127.0.0.1/", "expected http://ADDRESS:PORT", 4, 9,
		 DIAG_ERROR},
		{"[X-Readiness]\nHTTPGet=http://example.com:80/", "with a numeric address", 4, 9,
		 DIAG_ERROR},
		{"[X-Readiness]\nTCPSocket=1.2.3.4", "expected a port", 4, 11, DIAG_ERROR},
		{"[X-Readiness]\nPeriodSec=3", "a probe without a question", 4, 1, DIAG_ERROR},
		{"[X-Readiness]\nTCPSocket=80\nExec=/usr/bin/app", "not two", 5, 6, DIAG_ERROR},
		{"[X-Liveness]\nTCPSocket=80\nSuccessThreshold=2", "expected 1 for liveness", 4, 1,
		 DIAG_ERROR},
		{"[X-Startup]\nTCPSocket=80\nFailureThreshold=0", "at least 1", 5, 18, DIAG_ERROR},
	};

	(void)state;
	check_refusals(rows, ARRAY_COUNT(rows));
}

static void test_shells_are_refused(void **state)
{
	static const struct refusal rows[] = {
		{"ExecStartPre=/usr/sbin/sshd -D", "it gives a login", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/sbin/agetty tty1", "it gives a login", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/sh", "an interactive shell", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/sh -i -c x", "an interactive shell", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/hidden", "an interactive shell", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/bin/busybox getty", "it gives a login", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/env A=1 bash", "an interactive shell", 3, 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/nice -n 5 /usr/bin/env -i sh -l", "an interactive shell", 3,
		 14, DIAG_ERROR},
		{"ExecStartPre=/usr/bin/setsid busybox sh", "an interactive shell", 3, 14,
		 DIAG_ERROR},
		{"ExecStartPre=/usr/bin/timeout 5m dropbear -F", "it gives a login", 3, 14,
		 DIAG_ERROR},
		{"ExecStartPre=/usr/bin/env -u app hidden", "an interactive shell", 3, 14,
		 DIAG_ERROR},
		{"ExecStartPre=/usr/bin/env -C /usr /usr/bin/hidden -l", "an interactive shell", 3,
		 14, DIAG_ERROR},
	};

	(void)state;
	tree_write(&tree, "usr/bin/dash", "x", 0755);
	tree_write(&tree, "usr/bin/env", "x", 0755);
	tree_link(&tree, "usr/bin/hidden", "/usr/bin/dash");
	check_refusals(rows, ARRAY_COUNT(rows));
	tree_unit(
		&tree, "a.service",
		"[Service]\nType=oneshot\nExecStart=/usr/bin/sh -c 'x'\nExecStart=/usr/bin/sh -eu /x\n"
		"ExecStart=/usr/bin/env A=1 /usr/bin/app sh\nExecStart=/usr/bin/env sh -c x\n"
		"ExecStart=/usr/bin/env hidden -c x\n");
	assert_int_equal(tree_load(&tree)->count, 0);
}

static void test_the_port_of_ssh_is_refused(void **state)
{
	static const char *const addresses[] = {"22", "0.0.0.0:22", "[::1]:22"};
	char text[128];

	(void)state;
	tree_units(&tree, "a.socket");
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
		(void)snprintf(text, sizeof(text), "[Socket]\nListenStream=%s\n", addresses[i]);
		tree_unit(&tree, "a.socket", text);
		(void)tree_load(&tree);
		assert_int_equal(tree_diag(&tree, "the port of SSH")->line, 2);
	}
	tree_unit(&tree, "a.socket",
		  "[Socket]\nListenStream=2222\nListenDatagram=22\nListenStream=/run/22\n");
	assert_int_equal(tree_load(&tree)->n_errors, 0);
}

static void test_the_graph_is_checked(void **state)
{
	(void)state;
	tree_units(&tree, "a.service");
	tree_unit(
		&tree, "a.service",
		"[Unit]\nRequires=b.service c.service\nAfter=b.service\nWants=lost.service x.timer\n"
		"BindsTo=data.mount\n[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "b.service",
		  "[Unit]\nAfter=d.service\nWants=d.service\n[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "d.service",
		  "[Unit]\nAfter=a.service\n[Service]\nExecStart=/usr/bin/app\n");
	assert_int_equal(tree_load(&tree)->n_errors, 2);
	assert_int_equal(tree_diag(&tree, "Requires=c.service: there is no such unit")->column, 20);
	const struct diag *cycle = tree_diag(&tree, "the order has a cycle");
	assert_non_null(strstr(cycle->message,
			       "a.service after b.service after d.service after a.service"));
	assert_int_equal(cycle->line > 0, 1);
	assert_int_equal(tree_diag(&tree, "Wants=lost.service")->level, DIAG_WARNING);
	assert_int_equal(tree_diag(&tree, "Wants=x.timer: holdfast has no such type")->line, 4);
	assert_int_equal(tree_diag(&tree, "BindsTo=data.mount: taken as given")->line, 5);
}

static void test_units_that_exclude_each_other(void **state)
{
	(void)state;
	tree_units(&tree, "a.service");
	tree_unit(&tree, "a.service",
		  "[Unit]\nWants=b.service\nOnFailure=c.service\nConflicts=c.service b.service\n"
		  "[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "b.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_unit(&tree, "c.service", "[Service]\nExecStart=/usr/bin/app\n");
	assert_int_equal(tree_load(&tree)->n_errors, 1);
	assert_int_equal(tree_diag(&tree, "exclude each other")->column, 21);
}

static void test_the_stop_budget(void **state)
{
	(void)state;
	tree_units(&tree, "a.service b.service");
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\nTimeoutStopSec=12\n");
	tree_unit(
		&tree, "b.service",
		"[Unit]\nAfter=a.service\n[Service]\nExecStart=/usr/bin/app\nTimeoutStopSec=12\n");
	(void)tree_load(&tree);
	assert_non_null(strstr(tree_diag(&tree, "clipped")->message, "b.service"));
	assert_int_equal(units_diagnostics(tree.units)->n_errors, 0);
	tree_unit(
		&tree, "b.service",
		"[Unit]\nAfter=a.service\n[Service]\nExecStart=/usr/bin/app\nTimeoutStopSec=11\n");
	assert_int_equal(tree_load(&tree)->count, 0);
	/* The drain of the instance is the longest of all, whoever asks for it, and counts once. */
	tree_unit(&tree, "a.service",
		  "[Service]\nExecStart=/usr/bin/app\nTimeoutStopSec=12\n"
		  "[X-Holdfast]\nDrainSec=1\n");
	(void)tree_load(&tree);
	assert_non_null(
		strstr(tree_diag(&tree, "clipped")->message, "and the drain, may take 24 s"));
}

/* What would not fit into an exec is said at its line, long before memory is short. */
static void test_a_command_line_has_a_limit(void **state)
{
	static char text[1 << 16], unit[1 << 16];
	struct strbuf buf;

	(void)state;
	tree_units(&tree, "a.service");
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "A=", 2);
	tree_write(&tree, "etc/env", text, 0644);
	strbuf_init(&buf, unit, sizeof(unit));
	strbuf_adds(&buf, "[Service]\nEnvironmentFile=/etc/env\nExecStart=/usr/bin/app ");
	for (int i = 0; i < 4000; i++)
		strbuf_adds(&buf, "${A}");
	tree_unit(&tree, "a.service", unit);
	assert_int_equal(tree_load(&tree)->n_errors, 1);
	assert_int_equal(tree_diag(&tree, "expected at most 1048576")->line, 3);
}

static void test_offline_does_without(void **state)
{
	(void)state;
	tree_units(&tree, "a.service");
	tree_unit(&tree, "a.service",
		  "[Service]\nExecStart=/usr/bin/none\nUser=none\nEnvironmentFile=/none\n"
		  "[X-Holdfast]\nSecret=A file:/x/${ENV}\n");
	tree.request.is_offline = true;
	tree.request.environment = NULL;
	const struct diag_list *list = tree_load(&tree);
	assert_int_equal(list->n_errors, 0);
	assert_int_equal(list->count, 3);
}

/* ---------------------------------------------------------------- holdfast.conf */

static void load_with(const struct units_override *overrides, size_t n)
{
	tree.request.overrides = overrides;
	tree.request.n_overrides = n;
	(void)tree_load(&tree);
}

static void test_overrides(void **state)
{
	static const struct units_override overrides[] = {
		{"Holdfast", "StopTimeoutSec", "9", "HOLDFAST_STOP_TIMEOUT", true},
		{"Holdfast", "StopTimeoutSec", "11", "--stop-timeout", true},
		{"Health", "Listen", "127.0.0.1:1", "--health", true},
		{"Holdfast", "Units", "b.service", "HOLDFAST_UNITS", true},
		{"Scratch", "/tmp", "size=1M", "--scratch", true},
		{"Holdfast", "ReadOnlyRoot", "enforce", "HOLDFAST_READ_ONLY_ROOT", true},
	};

	(void)state;
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\nStopTimeoutSec=50\n[Health]\nListen=:1 :2\n"
		   "[Scratch]\n/tmp=size=9M\n",
		   0644);
	tree_unit(&tree, "b.service", "[Service]\nExecStart=/usr/bin/app\n");
	load_with(overrides, ARRAY_COUNT(overrides));
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
	tree_compile(&tree);
	assert_int_equal(tree.plan.header->stop_timeout_us, 11000000);
	assert_int_equal(plan_unit_count(&tree.plan), 1);
	assert_string_equal(units_conf(tree.units)->listen[0], "127.0.0.1:1");
	assert_null(units_conf(tree.units)->listen[1]);
	assert_int_equal(tree.plan.header->scratch.count, 1);
	assert_int_equal(plan_scratch(&tree.plan, 0)->size_bytes, 1 << 20);
}

/* Each rung below the image's own is weaker; one above is nobody's to refuse. */
static void test_a_weaker_root_from_outside(void **state)
{
	static const char *const words[] = {"enforce", "content", "warn"};
	char text[128];

	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	for (size_t image = 0; image < ARRAY_COUNT(words); image++) {
		(void)snprintf(text, sizeof(text), "[Holdfast]\nUnits=a.service\nReadOnlyRoot=%s\n",
			       words[image]);
		tree_write(&tree, "etc/holdfast/holdfast.conf", text, 0644);
		for (size_t outside = 0; outside < ARRAY_COUNT(words); outside++) {
			const struct units_override override = {"Holdfast", "ReadOnlyRoot",
								words[outside],
								"HOLDFAST_READ_ONLY_ROOT", true};
			load_with(&override, 1);
			assert_int_equal(units_diagnostics(tree.units)->n_errors, outside > image);
		}
	}
}

static void test_promises_are_the_images(void **state)
{
	static const struct units_override weaker = {"Holdfast", "Shells", "warn",
						     "HOLDFAST_SHELLS", true};
	static const struct units_override allow = {"Holdfast", "Allow", "Shells", "HOLDFAST_ALLOW",
						    true};

	(void)state;
	tree_units(&tree, "a.service");
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	load_with(&weaker, 1);
	assert_string_equal(tree_diag(&tree, "weakens a promise: expected Allow=Shells")->file,
			    "HOLDFAST_SHELLS");
	load_with(&allow, 1);
	assert_int_equal(tree_diag(&tree, "Allow= is the image's")->level, DIAG_ERROR);
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\nAllow=Shells\n", 0644);
	load_with(&weaker, 1);
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
	assert_false(units_conf(tree.units)->shells_must_be_refused);
	assert_true(units_conf(tree.units)->root_must_be_read_only);
}

static void test_conf_that_is_refused(void **state)
{
	static const struct {
		const char *text, *message;
		unsigned line, column;
	} rows[] = {
		{"[Holdfast]\n", "nothing to run", 0, 0},
		{"[Holdfast]\nUnits=a.service\nStopTimeoutSec=1\n", "at least 3 s", 3, 16},
		{"[Holdfast]\nUnits=a.service\nShells=maybe\n", "expected refuse or warn", 3, 8},
		{"[Holdfast]\nUnits=a.service\nShell=warn\n", "did you mean Shells=?", 3, 1},
		{"[Holdfast]\nUnits=a.service\n[Health]\nListen=x:1\n", "expected :PORT", 4, 8},
		{"[Holdfast]\nUnits=a.service\n[Scratch]\ntmp=size=1M\n",
		 "expected an absolute path", 4, 1},
		{"[Holdfast]\nUnits=a.service\n[Scratch]\n/tmp=size=1M,fast\n", "expected size=64M",
		 4, 14},
		{"[Holdfast]\nUnits=a.service\n[Scratch]\n/tmp=device=/dev/../sda\n",
		 "expected size=64M", 4, 6},
		{"[Holdfast]\nUnits=a.service\n[Scratch]\n/tmp=device=/dev/sda,ro\n",
		 "made anew and read-only", 4, 6},
		{"[Holdfast]\nUnits=a.service\n[Scratch]\n/tmp=device=PARTLABEL=tmp\n",
		 "it is memory here", 4, 6},
		{"[Holdfast]\nUnits=a.service\n[Sysctl]\nkernel.x=1\n", "is for hosts", 4, 1},
		{"[Holdfast]\nUnits=a.service\n[Sysctl]\nkernel=1\n",
		 "expected the name of a kernel parameter", 4, 1},
		{"[Holdfast]\nUnits=a.service\n[Sysctl]\nkernel/../x=1\n",
		 "expected the name of a kernel parameter", 4, 1},
		{"[Holdfast]\nUnits=a.service\n[Sysctl]\nkernel.x=\n",
		 "expected a value of printable characters", 4, 10},
		{"[Holdfast]\nUnits=a.service\n[Modules]\nLoad=wireguard\n", "is for hosts", 4, 1},
		{"[Holdfast]\nUnits=a.service\n[Heath]\n", "did you mean [Health]?", 3, 1},
		{"[Holdfast]\nUnits=a.service b\n", "expected the name of a unit", 2, 17},
		{"[Holdfast]\nUnits=a.service lost.service\n",
		 "lost.service: there is no such unit", 2, 17},
		{"Units=a.service\n", "outside of a section", 1, 1},
		{"[Holdfast]\nUnits=multi-user.target\n", "holds no units here", 2, 7},
		{"[Holdfast]\nUnits=a.service\nUnitPath=/none\n", "/none: no such folder", 3, 10},
	};

	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		tree_write(&tree, "etc/holdfast/holdfast.conf", rows[i].text, 0644);
		(void)tree_load(&tree);
		const struct diag *diag = tree_diag(&tree, rows[i].message);
		assert_int_equal(diag->line, rows[i].line);
		assert_int_equal(diag->column, rows[i].column);
		assert_string_equal(diag->file, "/etc/holdfast/holdfast.conf");
	}
	tree.request.units_dir = "/etc/none";
	(void)tree_load(&tree);
	assert_int_equal(tree_diag(&tree, "/etc/none: no such folder")->status, EX_NOINPUT);
	tree.request.units_dir = NULL;
	tree.request.conf = "/etc/other.conf";
	(void)tree_load(&tree);
	assert_int_equal(tree_diag(&tree, "cannot be read")->status, EX_NOINPUT);
}

static void test_the_network_of_a_host(void **state)
{
	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\n[Network]\nAddress=ens5 192.0.2.10/24\n"
		   "Address=ens5 2001:db8::10/64\nRoute=default 192.0.2.1\n"
		   "Route=2001:db8:1::/48 fe80::1 ens5\nDNS=192.0.2.53 2001:db8::53\n"
		   "Search=example.internal\n",
		   0644);
	tree.request.is_host = true;
	(void)tree_load(&tree);
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
	const struct units_network *network = &units_conf(tree.units)->network;
	assert_int_equal(network->n_addresses, 2);
	assert_string_equal(network->addresses[0].interface, "ens5");
	assert_memory_equal(network->addresses[0].net.bytes, "\xc0\x00\x02\x0a", 4);
	assert_int_equal(network->addresses[1].net.prefix, 64);
	assert_int_equal(network->n_routes, 2);
	assert_int_equal(network->routes[0].to.prefix, 0);
	assert_null(network->routes[0].interface);
	assert_int_equal(network->routes[1].to.prefix, 48);
	assert_string_equal(network->routes[1].interface, "ens5");
	assert_string_equal(network->dns[1], "2001:db8::53");
	assert_null(network->dns[2]);
	assert_string_equal(network->search[0], "example.internal");
}

static void test_a_network_that_is_refused(void **state)
{
	static const struct {
		const char *text, *message;
		unsigned column;
	} rows[] = {
		{"Address=ens5", "expected INTERFACE ADDRESS/PREFIX", 9},
		{"Address=ens5/0 192.0.2.1/24", "expected INTERFACE ADDRESS/PREFIX", 9},
		{"Address=ens5 192.0.2.1", "with its prefix", 14},
		{"Address=ens5 192.0.2.1/33", "with its prefix", 14},
		{"Address=ens5 2001:db8::/129", "with its prefix", 14},
		{"Address=ens5 x/24", "with its prefix", 14},
		{"Route=default", "expected default or NETWORK/PREFIX", 7},
		{"Route=default x", "expected the gateway's address", 15},
		{"Route=10.0.0.0/8 fe80::1", "of the gateway's family", 7},
		{"DNS=dns.example", "expected the addresses of name servers", 5},
		{"DNS=192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4", "at most 3", 35},
		{"Search=a/b", "expected domains", 8},
		{"Adress=x", "expected Address, Route, DNS or Search", 1},
	};
	char text[256];

	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree.request.is_host = true;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		(void)snprintf(text, sizeof(text), "[Holdfast]\nUnits=a.service\n[Network]\n%s\n",
			       rows[i].text);
		tree_write(&tree, "etc/holdfast/holdfast.conf", text, 0644);
		(void)tree_load(&tree);
		const struct diag *diag = tree_diag(&tree, rows[i].message);
		assert_int_equal(diag->line, 4);
		assert_int_equal(diag->column, rows[i].column);
	}
}

/* Either separator, the first decides; what is said again stands in place of what was said. */
static void test_sysctls_of_a_host(void **state)
{
	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\n[Sysctl]\nnet.core.somaxconn=4096\n"
		   "net.ipv4.conf.eth0/1.forwarding=0\nnet/ipv4/conf/eth0.1/forwarding=1\n"
		   "net.ipv4.tcp_rmem=4096 131072\t6291456\n",
		   0644);
	tree.request.is_host = true;
	(void)tree_load(&tree);
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
	const char *const *sysctls = units_conf(tree.units)->sysctls;
	assert_string_equal(sysctls[0], "net/core/somaxconn=4096");
	assert_string_equal(sysctls[1], "net/ipv4/conf/eth0.1/forwarding=1");
	assert_string_equal(sysctls[2], "net/ipv4/tcp_rmem=4096 131072\t6291456");
	assert_null(sysctls[3]);
}

/* Of two that listen at one place both are named. */
static void test_who_listens_where(void **state)
{
	static const struct {
		const char *health, *lines, *message; /* NULL: both may be */
		unsigned line, column;
	} rows[] = {
		{"none", "ListenStream=80\nListenStream=80",
		 "\"80\": /etc/holdfast/units/a.socket:2 has it", 3, 14},
		{"none", "ListenStream=80\nListenStream=127.0.0.1:80",
		 "a.socket:2 has \"80\" already", 3, 14},
		{"none", "ListenStream=[::1]:80\nListenStream=80",
		 "a.socket:2 has \"[::1]:80\" already", 3, 14},
		{"none", "ListenStream=0.0.0.0:80\nListenStream=127.0.0.1:80", "has \"0.0.0.0:80\"",
		 3, 14},
		{"none", "ListenStream=[0:0::1]:80\nListenStream=[::1]:080", "has \"[0:0::1]:80\"",
		 3, 14},
		{"none", "ListenStream=/run/x\nListenDatagram=/run/x", "a.socket:2 has it already",
		 3, 16},
		{"none", "ListenDatagram=@x\nListenDatagram=@x", "a.socket:2 has it already", 3,
		 16},
		{"none", "ListenDatagram=53\nListenDatagram=53", "a.socket:2 has it already", 3,
		 16},
		{":9180", "ListenStream=9180", "holdfast.conf:4 has \":9180\" already", 2, 14},
		{":9180 127.0.0.1:9180", "ListenStream=7", "holdfast.conf:4 has \":9180\" already",
		 4, 14},
		{NULL, "ListenStream=9180", "[Health] by default has", 2, 14},
		{"127.0.0.1:80 [::1]:80 127.0.0.2:80", "ListenDatagram=80", NULL, 0, 0},
		{"none", "ListenStream=0.0.0.0:80\nListenStream=[::]:80", NULL, 0, 0},
		{"none", "ListenDatagram=53\nListenDatagram=127.0.0.1:53", NULL, 0, 0},
		{"none", "ListenStream=@x\nListenDatagram=@x\nListenStream=/x", NULL, 0, 0},
	};
	char text[256];

	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		(void)snprintf(text, sizeof(text), "[Holdfast]\nUnits=a.socket\n%s%s\n",
			       rows[i].health ? "[Health]\nListen=" : "",
			       rows[i].health ? rows[i].health : "");
		tree_write(&tree, "etc/holdfast/holdfast.conf", text, 0644);
		(void)snprintf(text, sizeof(text), "[Socket]\n%s\n", rows[i].lines);
		tree_unit(&tree, "a.socket", text);
		(void)tree_load(&tree);
		if (!rows[i].message) {
			assert_int_equal(units_diagnostics(tree.units)->count, 0);
			continue;
		}
		const struct diag *diag = tree_diag(&tree, rows[i].message);
		assert_int_equal(diag->level, DIAG_ERROR);
		assert_int_equal(diag->line, rows[i].line);
		assert_int_equal(diag->column, rows[i].column);
	}
}

static void check_module(size_t i, const char *name, const char *parameters, bool is_optional,
			 uint32_t line)
{
	const struct units_module *module = &units_conf(tree.units)->modules[i];

	assert_string_equal(module->name, name);
	assert_string_equal(module->parameters, parameters);
	assert_int_equal(module->is_optional, is_optional);
	assert_int_equal(module->line, line);
}

static void test_modules_of_a_host(void **state)
{
	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\n[Modules]\nLoad=lost\nLoad=\n"
		   "Load=nf_conntrack hashsize=16384  expect_hashsize=1\nLoad=-dm-crypt\n",
		   0644);
	tree.request.is_host = true;
	(void)tree_load(&tree);
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
	assert_int_equal(units_conf(tree.units)->n_modules, 2);
	check_module(0, "nf_conntrack", "hashsize=16384  expect_hashsize=1", false, 6);
	check_module(1, "dm-crypt", "", true, 7);
	assert_int_equal(units_conf(tree.units)->lockdown, LOCKDOWN_INTEGRITY);
}

static void test_modules_that_an_image_lacks(void **state)
{
	static const char *const lists[][2] = {
		{"dm_crypt: dm-mod.ko dm-crypt.ko\nloop:\n", NULL},
		{"dm_crypt: dm-mod.ko lost.ko\nloop:\n", "its file is not in"},
		{"dm_crypt: dm-mod.ko dm-crypt.ko\nloops:\n", "loop: not in"},
		{"", "loop: not in"},
	};

	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\n[Modules]\nLoad=dm-crypt x=1\nLoad=loop\n"
		   "Load=-not-there\n",
		   0644);
	tree.request.environment = NULL;
	(void)tree_load(&tree);
	assert_int_equal(tree_diag(&tree, "a host that boots this image refuses")->level,
			 DIAG_WARNING);
	assert_int_equal(units_diagnostics(tree.units)->n_errors, 0);
	tree_write(&tree, "usr/lib/holdfast/modules/dm-mod.ko", "", 0644);
	tree_write(&tree, "usr/lib/holdfast/modules/dm-crypt.ko", "", 0644);
	for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
		tree_write(&tree, "usr/lib/holdfast/modules/list", lists[i][0], 0644);
		(void)tree_load(&tree);
		assert_int_equal(units_diagnostics(tree.units)->n_errors > 0, lists[i][1] != NULL);
		if (lists[i][1])
			assert_string_equal(tree_diag(&tree, lists[i][1])->file,
					    "/etc/holdfast/holdfast.conf");
	}
}

static void test_modules_that_are_refused(void **state)
{
	static const char *const lines[][2] = {
		{"Load=../evil\n", "expected the name of a kernel module"},
		{"Load=evil.ko\n", "expected the name of a kernel module"},
		{"Load=-\n", "expected the name of a kernel module"},
		{"Load=dm-crypt\nLoad=dm_crypt x=1\n", "dm_crypt is given twice"},
		{"Module=x\n", "unknown key Module="},
		{"Lockdown=full\n", "expected none, integrity or confidentiality"},
	};

	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		char text[256];
		(void)snprintf(text, sizeof(text), "[Holdfast]\nUnits=a.service\n[Modules]\n%s",
			       lines[i][0]);
		tree_write(&tree, "etc/holdfast/holdfast.conf", text, 0644);
		tree.request.is_host = true;
		(void)tree_load(&tree);
		assert_non_null(tree_diag(&tree, lines[i][1]));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_terminal_to_type_at_is_refused),
		TEST(test_values_that_are_refused),
		TEST(test_keys_that_are_not_honoured),
		TEST(test_secrets_that_are_refused),
		TEST(test_remote_secrets),
		TEST(test_a_wrapped_secret_id_is_one_units),
		TEST(test_probes_that_are_refused),
		TEST(test_shells_are_refused),
		TEST(test_the_port_of_ssh_is_refused),
		TEST(test_the_graph_is_checked),
		TEST(test_units_that_exclude_each_other),
		TEST(test_the_stop_budget),
		TEST(test_a_command_line_has_a_limit),
		TEST(test_offline_does_without),
		TEST(test_overrides),
		TEST(test_a_weaker_root_from_outside),
		TEST(test_promises_are_the_images),
		TEST(test_conf_that_is_refused),
		TEST(test_who_listens_where),
		TEST(test_sysctls_of_a_host),
		TEST(test_modules_of_a_host),
		TEST(test_modules_that_an_image_lacks),
		TEST(test_modules_that_are_refused),
		TEST(test_the_network_of_a_host),
		TEST(test_a_network_that_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
