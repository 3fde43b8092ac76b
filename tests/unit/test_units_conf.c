/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* What holdfast.conf is refused for, or warned of, each by its file, line and column. */
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

/* It is no host's image, or one that refuses to boot. */
static void test_modules_of_an_image_without_a_list(void **state)
{
	(void)state;
	tree_unit(&tree, "a.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=a.service\n[Modules]\nLoad=dm-crypt x=1\nLoad=-not-there\n",
		   0644);
	tree.request.environment = NULL;
	(void)tree_load(&tree);
	assert_int_equal(tree_diag(&tree, "a host that boots this image refuses")->level,
			 DIAG_WARNING);
	assert_int_equal(units_diagnostics(tree.units)->n_errors, 0);
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

#define TEST(name) TREE_TEST(name, tree_set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_overrides),
		TEST(test_a_weaker_root_from_outside),
		TEST(test_promises_are_the_images),
		TEST(test_conf_that_is_refused),
		TEST(test_who_listens_where),
		TEST(test_sysctls_of_a_host),
		TEST(test_modules_of_a_host),
		TEST(test_modules_of_an_image_without_a_list),
		TEST(test_modules_that_are_refused),
		TEST(test_the_network_of_a_host),
		TEST(test_a_network_that_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
