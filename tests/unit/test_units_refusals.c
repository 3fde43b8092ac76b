/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* What units are refused for, or warned of, each by its file, line and column. */
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

#define TEST(name) TREE_TEST(name, tree_set_up)

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
