/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* [Identity]: where ${VAR} of a reference comes from, on a host and in a container. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/units_tree.h"

static void configure(const char *identity)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "[Holdfast]\nUnits=web.service\n[Identity]\n%s",
		       identity);
	tree_write(&tree, "etc/holdfast/holdfast.conf", text, 0644);
}

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	tree_write(&tree, "proc/cmdline", "quiet app.env=prod root=/dev/x app.env.more=y\n", 0444);
	tree_unit(&tree, "web.service",
		  "[Service]\nExecStart=/usr/bin/app\n[X-Holdfast]\nSecret=DB ssm:/a/${STAGE}/db\n"
		  "SecretFile=key file:/secrets/${STAGE}/key\n");
	return 0;
}

static const char *reference(void)
{
	const struct plan_unit *unit = tree_find(&tree, "web.service");

	return plan_string(&tree.plan, plan_secret(&tree.plan, unit->secrets.first)->reference);
}

static void test_a_word_of_the_kernels_command_line(void **state)
{
	static const char *const environment[] = {"STAGE=from-environment", NULL};

	(void)state;
	configure("STAGE=cmdline:app.env\n");
	tree_write(&tree, "secrets/prod/key", "k", 0400);
	tree_write(&tree, "secrets/from-environment/key", "k", 0400);
	tree.request.is_host = true;
	tree.request.environment =
		environment; /* the kernel's: whoever owns the console writes it */
	tree_take(&tree);
	assert_string_equal(reference(), "ssm:/a/prod/db");
	tree.request.is_host = false;
	tree_take(&tree);
	assert_string_equal(reference(), "ssm:/a/from-environment/db");
}

static void test_what_nobody_says_is_an_error(void **state)
{
	static const char *const environment[] = {"STAGE=x", NULL}, *const nothing[] = {NULL};

	(void)state;
	configure("OTHER=cmdline:app.env\nSTAGE=cmdline:app.none\n");
	tree.request.is_host = true;
	tree.request.environment = environment;
	assert_true(tree_load(&tree)->n_errors > 0);
	const struct diag *diag = tree_diag(&tree, "${STAGE} is not set in [Identity]");
	assert_int_equal(diag->line, 4);
	assert_int_equal(diag->status, 78);
	/* In a container the command line is the machine's. */
	configure("STAGE=cmdline:app.env\n");
	tree.request.is_host = false;
	tree.request.environment = nothing;
	(void)tree_load(&tree);
	(void)tree_diag(&tree, "${STAGE} is not set in holdfast's environment nor in [Identity]");
}

#define IDENTITY "holdfast-identity.service"

static void test_a_unit_asks_the_metadata_service_for_what_is_needed(void **state)
{
	(void)state;
	configure("UNUSED=imds:tags/instance/UNUSED\nSTAGE=imds:old\nSTAGE=imds:user-data#STAGE\n");
	tree_take(&tree);
	const struct plan_unit *unit = tree_find(&tree, IDENTITY);
	assert_int_equal(tree.plan.header->identity_unit, plan_find_unit(&tree.plan, IDENTITY));
	assert_int_equal(unit->secrets.count, 1);
	assert_int_equal(unit->failure_action, ACTION_EXIT);
	const struct plan_secret *variable = plan_secret(&tree.plan, unit->secrets.first);
	assert_string_equal(plan_string(&tree.plan, variable->name), "STAGE");
	assert_string_equal(plan_string(&tree.plan, variable->reference), "imds:user-data#STAGE");
	assert_int_equal(variable->line, 6);
	assert_int_equal(variable->flags, SECRET_IS_CONFIG | SECRET_IS_REMOTE);
	assert_string_equal(reference(), "ssm:/a/${STAGE}/db");
	assert_true(tree_related(&tree, "web.service", REL_REQUIRES, IDENTITY));
	assert_true(tree_related(&tree, "web.service", REL_AFTER, IDENTITY));
}

/* What the environment says needs not be asked for. */
static void test_a_container_asks_only_for_what_it_was_not_given(void **state)
{
	static const char *const environment[] = {"STAGE=green", NULL}, *const nested[] = {
										"STAGE=a${STAGE}",
										NULL};

	(void)state;
	configure("STAGE=imds:tags/instance/STAGE\n");
	tree_write(&tree, "secrets/green/key", "k", 0400);
	tree.request.environment = environment;
	tree_take(&tree);
	assert_int_equal(tree.plan.header->identity_unit, PLAN_NO_UNIT);
	assert_string_equal(reference(), "ssm:/a/green/db");
	/* Nothing is filled in twice. */
	tree.request.environment = nested;
	assert_true(tree_load(&tree)->n_errors > 0);
	(void)tree_diag(&tree, "${STAGE}: its value has a variable in it");
}

static void test_refusals(void **state)
{
	static const struct {
		const char *line;
		unsigned column;
	} rows[] = {
		{"A=cmdline:", 11},
		{"A=cmdline:a b", 12},
		{"A=imds:", 8},
		{"A=imds:/x", 8},
		{"A=imds:a/../b", 10},
		{"A=imds:tags/", 13},
		{"A=imds:user-data#", 17},
		{"A=imds:a?b", 9},
		{"A=env:X", 3},
		{"A=prod", 3},
		{"A=imds:user-data#a b", 19},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		configure(rows[i].line);
		(void)tree_load(&tree);
		const struct diag *diag = tree_diag(&tree, "expected cmdline:WORD");
		assert_int_equal(diag->line, 4);
		assert_int_equal(diag->column, rows[i].column);
	}
	configure("a-b=cmdline:x");
	(void)tree_load(&tree);
	(void)tree_diag(&tree, "a-b=: expected the name of a variable");
}

#define TEST(name) TREE_TEST(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_word_of_the_kernels_command_line),
		TEST(test_what_nobody_says_is_an_error),
		TEST(test_a_unit_asks_the_metadata_service_for_what_is_needed),
		TEST(test_a_container_asks_only_for_what_it_was_not_given),
		TEST(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
