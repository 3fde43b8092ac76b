/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* [Modules] of an image's tree: the list, the files that it names, and what these say of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/units_tree.h"

#define FOLDER "usr/lib/holdfast/modules/"

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	tree_write(&tree, "etc/holdfast/holdfast.conf",
		   "[Holdfast]\nUnits=web.service\n[Modules]\nLoad=dm-crypt\nLoad=-not-there\n",
		   0644);
	tree_unit(&tree, "web.service", "[Service]\nExecStart=/usr/bin/app\n");
	tree.request.environment = NULL;
	return 0;
}

/* What a module says of itself stands behind padding, as far into the file as that is long. */
static void module(const char *name, size_t padding, const char *depends, const char *kernel)
{
	char path[128];

	(void)snprintf(path, sizeof(path), FOLDER "%s", name);
	tree_write(&tree, path, "", 0644);
	int fd = openat(tree.fd, path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(dprintf(fd, "\177ELF"), 4);
	assert_int_equal(lseek(fd, (off_t)padding, SEEK_SET), (off_t)padding);
	assert_true(dprintf(fd, "%cdepends=%s%cvermagic=%s SMP mod_unload %c", 0, depends, 0,
			    kernel, 0) > 0);
	(void)close(fd);
}

static void list(const char *text)
{
	tree_write(&tree, FOLDER "list", text, 0644);
}

static void assert_said(const char *message)
{
	assert_int_equal(tree_load(&tree)->n_errors, 1);
	assert_int_equal(tree_diag(&tree, message)->line, 4);
}

static void test_what_is_whole(void **state)
{
	static const size_t paddings[] = {4, 60000, 64511, 64512, 65500, 65535, 65536, 300000};

	(void)state;
	list("other:\ndm_crypt: dm-mod.ko dm-crypt.ko\n");
	for (size_t i = 0; i < ARRAY_COUNT(paddings); i++) {
		module("dm-mod.ko", 4, "", "6.1.0");
		module("dm-crypt.ko", paddings[i], "dm_mod", "6.1.0");
		const struct diag_list *said = tree_load(&tree);
		tree_say(said);
		assert_int_equal(said->n_errors, 0);
		/* It is read: one that needs more is none. */
		module("dm-crypt.ko", paddings[i], "dm-mod,ecb", "6.1.0");
		assert_said("dm-crypt: dm-crypt.ko needs ecb, which does not stand before it");
	}
}

static void test_what_is_not(void **state)
{
	(void)state;
	module("dm-mod.ko", 4, "", "6.1.0");
	module("dm-crypt.ko", 4, "dm-mod", "6.1.0");
	list("dm-crypt: dm-crypt.ko dm-mod.ko\n");
	assert_said("dm-crypt.ko needs dm-mod, which does not stand before it");
	list("dm-crypt: dm-crypt.ko\n");
	assert_said("dm-crypt.ko needs dm-mod");
	list("dm-cry: dm-mod.ko dm-crypt.ko\n");
	assert_said("dm-crypt: not in /usr/lib/holdfast/modules/list");
	list("dm-crypt: dm-mod.ko dm-crypt.ko gone.ko\n");
	assert_said("its file is not in /usr/lib/holdfast/modules: gone.ko");
	list("dm-crypt: dm-mod.ko dm-crypt.ko\n");
	module("dm-crypt.ko", 4, "dm-mod", "6.12.0");
	assert_said("dm-crypt.ko was made for the kernel 6.12.0, and others for 6.1.0");
	tree_write(&tree, FOLDER "dm-crypt.ko",
		   "\375"
		   "7zXZ",
		   0644);
	assert_said("dm-crypt.ko is no ELF file: expected a module that is not compressed");
	tree_write(&tree, FOLDER "dm-crypt.ko", "", 0644);
	assert_said("dm-crypt.ko is no ELF file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TREE_TEST(test_what_is_whole, set_up),
		TREE_TEST(test_what_is_not, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
