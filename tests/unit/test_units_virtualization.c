/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* ConditionVirtualization=: what stands for which container and which machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/units_tree.h"
#include "units/virtualization.h"

#define DMI "sys/class/dmi/id/"

static const char *const nothing[] = {NULL};

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	tree_units(&tree, "web.service");
	tree_unit(&tree, "web.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree.request.environment = nothing;
	return 0;
}

static void assert_name(const char *found, const char *expected)
{
	if (expected)
		assert_string_equal(found ? found : "none", expected);
	else
		assert_null(found);
}

static void test_what_a_runtime_says_and_leaves_behind(void **state)
{
	static const struct {
		const char *manager, *variable, *file, *expected;
		bool is_contained, is_host;
	} cases[] = {
		{"", NULL, NULL, NULL, false, false},
		{"", NULL, NULL, "container-other", true, false},
		{"", NULL, ".dockerenv", "docker", true, false},
		{"", NULL, "run/.containerenv", "podman", false, false},
		{"", "container=podman", NULL, "podman", true, false},
		{"", "container=oci", ".dockerenv", "docker", true, false},
		{"", "container=oci", NULL, "container-other", true, false},
		{"", "container=of-my-own", ".dockerenv", "container-other", true, false},
		{"", "container=", ".dockerenv", NULL, true, false},
		{"systemd-nspawn\n", "container=podman", NULL, "systemd-nspawn", true, false},
		{"", "KUBERNETES_SERVICE_HOST=10.0.0.1", NULL, "container-other", false, false},
		/* A word of the kernel's command line, and an image that was made in a container. */
		{"docker\n", "container=docker", ".dockerenv", NULL, false, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		const char *const environment[] = {cases[i].variable, NULL};
		tree_write(&tree, "run/host/container-manager", cases[i].manager, 0444);
		if (cases[i].file)
			tree_write(&tree, cases[i].file, "", 0444);
		tree.request.environment = environment;
		tree.request.is_contained = cases[i].is_contained;
		tree.request.is_host = cases[i].is_host;
		tree_take(&tree);
		assert_name(virtualization_container(tree.units), cases[i].expected);
		if (cases[i].file)
			assert_int_equal(unlinkat(tree.fd, cases[i].file, 0), 0);
	}
}

static void test_what_firmware_and_processor_say(void **state)
{
	static const struct {
		const char *signature, *product, *vendor, *expected;
	} cases[] = {
		{"", "", "", NULL},
		{"", "PowerEdge", "Dell Inc.", NULL},
		{"KVMKVMKVM", "", "", "kvm"},
		{"KVMKVMKVM", "Standard PC", "QEMU", "kvm"},
		{"TCGTCGTCGTCG", "Standard PC", "QEMU", "qemu"},
		{"KVMKVMKVM", "m7i.large", "Amazon EC2", "amazon"},
		{"", "m7i.metal-24xl", "Amazon EC2", NULL},
		{"", "i3.metal", "Amazon EC2", NULL},
		{"", "m7g.large", "Amazon EC2", "amazon"},
		{"KVMKVMKVM", "Google Compute Engine", "Google", "google"},
		{"Microsoft Hv", "Virtual Machine", "Microsoft Corporation", "microsoft"},
		{"Microsoft Hv", "Standard PC", "QEMU", "qemu"},
		{"Microsoft Hv", "VirtualBox", "innotek GmbH", "oracle"},
		{"of my own", "", "", "vm-other"},
		{"VMwareVMware", "VMware7,1", "VMware, Inc.", "vmware"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		tree_write(&tree, DMI "product_name", cases[i].product, 0444);
		tree_write(&tree, DMI "sys_vendor", cases[i].vendor, 0444);
		tree_take(&tree);
		assert_name(virtualization_machine(tree.units, cases[i].signature),
			    cases[i].expected);
	}
}

static void test_words(void **state)
{
	static const char *const environment[] = {"container=podman", NULL};
	static const struct {
		const char *word;
		bool expected;
	} cases[] = {
		{"yes", true},
		{"no", false},
		{"container", true},
		{"podman", true},
		{"vm", false},
		{"docker", false},
		{"container-other", false},
		{"amazon", false},
		{"kvm", false},
		{"private-users", true},
	};

	(void)state;
	tree.request.environment = environment;
	tree_write(&tree, "proc/self/uid_map", "         0     100000      65536\n", 0444);
	tree_take(&tree);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_true(virtualization_is_known(cases[i].word));
		assert_int_equal(virtualization_matches(tree.units, cases[i].word),
				 cases[i].expected);
	}
	tree_write(&tree, "proc/self/uid_map", "         0          0 4294967295\n", 0444);
	tree_take(&tree);
	assert_false(virtualization_matches(tree.units, "private-users"));
}

static void test_a_word_that_is_no_name_is_said(void **state)
{
	(void)state;
	tree_unit(&tree, "web.service",
		  "[Unit]\nConditionVirtualization=!dokcer\nAssertVirtualization=!lxc\n"
		  "[Service]\nExecStart=/usr/bin/app\n");
	(void)tree_load(&tree);
	const struct diag *diag =
		tree_diag(&tree, "\"dokcer\" is never true: expected a boolean, vm");
	assert_non_null(diag);
	assert_true(diag->is_unknown);
	assert_int_equal(diag->line, 2);
	const struct diag_list *list = units_diagnostics(tree.units);
	for (size_t i = 0; i < list->count; i++)
		assert_null(strstr(list->items[i].message, "\"lxc\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TREE_TEST(test_what_a_runtime_says_and_leaves_behind, set_up),
		TREE_TEST(test_what_firmware_and_processor_say, set_up),
		TREE_TEST(test_words, set_up),
		TREE_TEST(test_a_word_that_is_no_name_is_said, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
