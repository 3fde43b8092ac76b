/* TESTS: gate/mounts.c tests/support/planbuild.c lib/mountinfo.c lib/plan.c lib/io.c lib/fd.c lib/str.c lib/path.c lib/sys.c lib/event.c lib/clock.c lib/json.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "gate/mounts.h"
#include "tests/support/planbuild.h"

static struct plan plan;
static void *block;
static struct mounts mounts;

static int prepare(void **state)
{
	struct planbuild build;
	size_t size;

	(void)state;
	planbuild_init(&build);
	struct plan_scratch *scratch = planbuild_record(&build, PLAN_SCRATCH, NULL);
	scratch->path = planbuild_text(&build, "/tmp");
	scratch = planbuild_record(&build, PLAN_SCRATCH, NULL);
	scratch->path = planbuild_text(&build, "/work");
	scratch->flags = SCRATCH_EXEC;
	struct plan_rule *rule = planbuild_record(&build, PLAN_RULES, NULL);
	*rule = (struct plan_rule){planbuild_text(&build, "/usr"), RULE_EXECUTE};
	rule = planbuild_record(&build, PLAN_RULES, NULL);
	*rule = (struct plan_rule){planbuild_text(&build, "/volume/plugins"), RULE_EXECUTE};
	rule = planbuild_record(&build, PLAN_RULES, NULL);
	*rule = (struct plan_rule){planbuild_text(&build, "/volume/data"), RULE_READ};
	static const char *const command[] = {"/volume/server", NULL};
	uint32_t unit;
	(void)planbuild_unit(&build, "a.service", &unit);
	planbuild_exec(&build, unit, EXEC_START, command, 0);
	planbuild_finish(&build, &block, &size, &plan);
	mounts = (struct mounts){.plan = &plan, .root = {8, 1, "/trees/one"}};
	return 0;
}

static int finish(void **state)
{
	(void)state;
	free(block);
	return 0;
}

/* One line of a mount table. */
static struct mountinfo_entry entry(const char *line)
{
	static struct mountinfo info;

	mountinfo_finish(&info);
	assert_int_equal(mountinfo_parse(strdup(line), &info), 0);
	assert_int_equal(info.count, 1);
	return info.entries[0];
}

static void assert_place(const char *line, enum mount_place place)
{
	struct mountinfo_entry it = entry(line);

	assert_int_equal(mounts_place(&mounts, &it), place);
}

static void assert_ours(const char *line, bool is_ours)
{
	struct mountinfo_entry it = entry(line);

	assert_int_equal(mounts_is_ours(&mounts, &it), is_ours);
}

static void test_the_image_is_what_lies_below_the_root(void **state)
{
	(void)state;
	assert_place("1 0 8:1 /trees/one / ro - ext4 /dev/sda1 rw\n", MOUNT_IMAGE);
	assert_place("2 1 8:1 /trees/one/usr /srv/usr ro - ext4 /dev/sda1 rw\n", MOUNT_IMAGE);
	/* Of the same file system, bound beside: not of the image. */
	assert_place("3 1 8:1 /trees/oneandahalf /x ro - ext4 /dev/sda1 rw\n", MOUNT_OTHER);
	assert_place("4 1 8:1 /home /home rw - ext4 /dev/sda1 rw\n", MOUNT_OTHER);
	assert_place("5 1 8:2 /trees/one /x rw - ext4 /dev/sda2 rw\n", MOUNT_OTHER);
	strcpy(mounts.root.path, "/");
	assert_place("4 1 8:1 /home /home rw - ext4 /dev/sda1 rw\n", MOUNT_IMAGE);
}

static void test_scratch_is_for_programs_where_the_plan_says_so(void **state)
{
	(void)state;
	assert_place("1 0 0:40 / /tmp rw - tmpfs tmpfs rw\n", MOUNT_OTHER);
	assert_place("1 0 0:40 / /work rw - tmpfs tmpfs rw\n", MOUNT_DECLARED);
	assert_place("1 0 0:40 / /work/below rw - tmpfs tmpfs rw\n", MOUNT_OTHER);
}

static void test_what_may_be_marked_as_a_whole(void **state)
{
	(void)state;
	assert_ours("1 0 0:40 / / rw - overlay overlay rw\n", true);
	assert_ours("1 0 0:40 / /tmp rw - tmpfs tmpfs rw\n", true);
	assert_ours("1 0 0:40 / /work rw - tmpfs tmpfs rw\n", true);
	/* Anybody's: of the runtime, of the machine, of another container. */
	assert_ours("1 0 0:40 / /run rw - tmpfs tmpfs rw\n", false);
	assert_ours("1 0 0:40 /containers/a /tmp rw - tmpfs tmpfs rw\n", false);
	assert_ours("1 0 0:40 / /volume rw - overlay overlay rw\n", false);
	assert_ours("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n", false);
	mounts.is_host = true;
	assert_ours("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n", true);
}

static void assert_named(const char *path, const char *point, bool is_named)
{
	assert_int_equal(mounts_is_named(&mounts, path, (uint32_t)strlen(point)), is_named);
}

static void test_what_a_unit_names_on_a_volume(void **state)
{
	(void)state;
	assert_named("/volume/plugins/a", "/volume", true);
	assert_named("/volume/plugins", "/volume/plugins", true);
	assert_named("/volume/pluginsandmore", "/volume", false);
	assert_named("/volume/data/a", "/volume", false);
	assert_named("/volume/other", "/volume", false);
	assert_named("/volume/server", "/volume", true);
	/* Meant for the image, not for what was mounted over a part of it. */
	assert_named("/usr/local/bin/a", "/usr/local", false);
	assert_named("/usr/bin/a", "/usr", true);
}

static void test_ids(void **state)
{
	(void)state;
	mounts.known[0] = (struct mounts_known){.id = 31, .spot = {MOUNT_DECLARED, 5}};
	mounts.known[1] = (struct mounts_known){.id = 32, .spot = {MOUNT_OTHER, 4}};
	mounts.n_known = 1;
	assert_int_equal(mounts_find(&mounts, 31).place, MOUNT_DECLARED);
	assert_int_equal(mounts_find(&mounts, 32).place, MOUNT_UNKNOWN);
	assert_int_equal(mounts_find(&mounts, 0).place, MOUNT_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_image_is_what_lies_below_the_root, prepare,
						finish),
		cmocka_unit_test_setup_teardown(test_scratch_is_for_programs_where_the_plan_says_so,
						prepare, finish),
		cmocka_unit_test_setup_teardown(test_what_may_be_marked_as_a_whole, prepare,
						finish),
		cmocka_unit_test_setup_teardown(test_what_a_unit_names_on_a_volume, prepare,
						finish),
		cmocka_unit_test_setup_teardown(test_ids, prepare, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
