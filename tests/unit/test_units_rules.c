/* TESTS: units/%.c lib/plan.c lib/reference.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/* Which files a unit may execute, read and write: ExecPaths= and its like, and a strict sandbox. */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/units_tree.h"
#include "units/readable.h"

#define SERVICE	   "[Service]\nExecStart=/usr/bin/app\n"
#define OURS	   "etc/holdfast/units/x.service"
#define SYSTEMD	   "usr/lib/systemd/system/x.service"
#define NOTHING	   0
#define ALL_RIGHTS (RULE_EXECUTE | RULE_READ | RULE_LIST | RULE_WRITE)
#define RUN	   (RULE_EXECUTE | RULE_READ)
#define SEE	   (RULE_READ | RULE_LIST)
#define ELF    \
	"\x7f" \
	"ELF, or so it begins"

static int set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	tree_units(&tree, "x.service");
	return 0;
}

static const struct plan_unit *take(const char *path, const char *text)
{
	tree_write(&tree, path, text, 0644);
	tree_take(&tree);
	return tree_find(&tree, "x.service");
}

/* A program that the loader is asked for, as the kernel would read it. */
static void write_dynamic(const char *path, const char *loader)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr segments[2];
		char loader[64];
	} file = {0};

	memcpy(file.header.e_ident, ELFMAG, SELFMAG);
	file.header.e_ident[EI_CLASS] = ELFCLASS64;
	file.header.e_ident[EI_DATA] = ELFDATA2LSB;
	file.header.e_phoff = offsetof(__typeof__(file), segments);
	file.header.e_phentsize = sizeof(Elf64_Phdr);
	file.header.e_phnum = 2;
	file.segments[0].p_type = PT_LOAD;
	file.segments[1].p_type = PT_INTERP;
	file.segments[1].p_offset = offsetof(__typeof__(file), loader);
	file.segments[1].p_filesz = strlen(loader) + 1;
	(void)strcpy(file.loader, loader);
	tree_write(&tree, path, "", 0755);
	int fd = openat(tree.fd, path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, &file, sizeof(file)), sizeof(file));
	close(fd);
}

static uint32_t rights_in(struct plan_range range, const char *path)
{
	uint32_t rights = 0;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_rule *rule = plan_rule(&tree.plan, range.first + i);
		const char *at = plan_string(&tree.plan, rule->path);
		size_t length = strcmp(at, "/") == 0 ? 0 : strlen(at);
		if (strncmp(path, at, length) == 0 && (path[length] == '/' || !path[length]))
			rights |= rule->rights;
	}
	return rights;
}

/* What the unit may do at path, by all rules at and above it. */
static uint32_t rights(const struct plan_unit *unit, const char *path)
{
	uint32_t allowed = rights_in(unit->shared_rules, path) | rights_in(unit->rules, path);

	return allowed | (ALL_RIGHTS & ~unit->denied_rights);
}

static void test_a_strict_unit(void **state)
{
	(void)state;
	tree_write(&tree, "usr/share/doc/readme", "x", 0644);
	tree_write(&tree, "etc/app.conf", "x", 0644);
	tree_write(&tree, "dev/sda", "x", 0644);
	const struct plan_unit *unit = take(OURS, SERVICE);
	assert_int_equal(unit->denied_rights, ALL_RIGHTS);
	assert_int_equal(rights(unit, "/usr/bin/app"), RUN | RULE_LIST);
	assert_int_equal(rights(unit, "/usr/bin/sh"), RULE_LIST);
	assert_int_equal(rights(unit, "/etc/app.conf"), SEE);
	assert_int_equal(rights(unit, "/usr/share/doc/readme"), SEE);
	assert_int_equal(rights(unit, "/dev/sda"), RULE_LIST);
	assert_int_equal(rights(unit, "/dev/null"), RULE_LIST | RULE_DEVICE);
	assert_int_equal(rights(unit, "/dev/shm/x"), SEE | RULE_WRITE);
}

static void test_other_sandboxes(void **state)
{
	(void)state;
	const struct plan_unit *unit = take(SYSTEMD, SERVICE);
	assert_int_equal(unit->denied_rights, NOTHING);
	assert_int_equal(unit->rules.count + unit->shared_rules.count, 0);
	assert_int_equal(unlinkat(tree.fd, SYSTEMD, 0), 0);
	unit = take(OURS, SERVICE "NoExecPaths=/\n[X-Holdfast]\nSandbox=none\n");
	assert_int_equal(unit->denied_rights, NOTHING);
	assert_int_equal(unit->rules.count, 0);
}

/* What the kernel opens beside the program itself: execve(2). */
static void test_interpreters(void **state)
{
	(void)state;
	tree_write(&tree, "app/run", "#! /usr/bin/env -S node --flag\nx", 0755);
	write_dynamic("usr/bin/env", "/lib/loader.so.2");
	write_dynamic("usr/bin/node", "/lib/loader.so.2");
	tree_write(&tree, "lib/loader.so.2", ELF, 0755);
	const struct plan_unit *unit = take(OURS, "[Service]\nExecStart=/app/run\n");
	assert_true(rights(unit, "/app/run") & RULE_EXECUTE);
	assert_true(rights(unit, "/usr/bin/env") & RULE_EXECUTE);
	assert_true(rights(unit, "/usr/bin/node") & RULE_EXECUTE);
	assert_true(rights(unit, "/lib/loader.so.2") & RULE_EXECUTE);
	assert_false(rights(unit, "/usr/bin/app") & RULE_EXECUTE);
}

static void test_hostile_heads(void **state)
{
	static const char *const heads[] = {"#!",
					    "#!\n",
					    "#!   \n",
					    "#!relative\n",
					    "#!/app/self\n",
					    "\x7f"
					    "ELF",
					    ""};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
		tree_write(&tree, "app/self", heads[i], 0755);
		const struct plan_unit *unit = take(OURS, "[Service]\nExecStart=/app/self\n");
		assert_int_equal(rights(unit, "/app/self"), RUN | RULE_LIST);
		assert_int_equal(unit->rules.count, 1);
	}
	write_dynamic("app/self", "relative/loader");
	const struct plan_unit *unit = take(OURS, "[Service]\nExecStart=/app/self\n");
	assert_int_equal(unit->rules.count, 1);
}

static void test_what_command_lines_name(void **state)
{
	(void)state;
	tree_write(&tree, "usr/bin/helper", "x", 0755);
	tree_write(&tree, "usr/bin/script", "x", 0755);
	tree_write(&tree, "usr/bin/tini", "x", 0755);
	tree_write(&tree, "usr/bin/probe", "x", 0755);
	tree_write(&tree, "usr/bin/after", "x", 0755);
	const struct plan_unit *unit =
		take(OURS, "[Service]\n"
			   "ExecStart=/usr/bin/tini -g -- app --script=/usr/bin/script "
			   "/usr/bin/helper /usr/bin/data\n"
			   "ExecStartPost=-/usr/bin/after sh\n"
			   "ExecStop=+/usr/bin/sh x\n"
			   "[X-Readiness]\nExec=/usr/bin/probe\n");
	assert_true(rights(unit, "/usr/bin/tini") & RULE_EXECUTE);
	assert_true(rights(unit, "/usr/bin/app") & RULE_EXECUTE);
	assert_true(rights(unit, "/usr/bin/script") & RULE_EXECUTE);
	assert_true(rights(unit, "/usr/bin/helper") & RULE_EXECUTE);
	assert_true(rights(unit, "/usr/bin/after") & RULE_EXECUTE);
	assert_true(rights(unit, "/usr/bin/probe") & RULE_EXECUTE);
	assert_false(rights(unit, "/usr/bin/data") & RULE_EXECUTE);
	/* A word without a slash is a program behind a wrapper alone; + has no sandbox. */
	assert_false(rights(unit, "/usr/bin/sh") & RULE_EXECUTE);
}

/* Everything but programs, wherever they lie. */
static void test_what_can_be_read(void **state)
{
	(void)state;
	tree_write(&tree, "usr/lib/big/15/bin/server", ELF, 0755);
	tree_write(&tree, "usr/lib/big/15/lib/part.so", ELF, 0755);
	tree_write(&tree, "usr/lib/libc.so.6", ELF, 0755);
	tree_write(&tree, "usr/lib/helper", ELF, 0755);
	tree_write(&tree, "usr/lib/.hidden", "x", 0644);
	tree_write(&tree, "usr/lib/not-executable", ELF, 0644);
	tree_write(&tree, "app/bin/www", "#!/usr/bin/node\n", 0755);
	tree_write(&tree, "app/node_modules/x/bin/x", "x", 0755);
	tree_write(&tree, "usr/lib/holdfast/holdfast", ELF, 0755);
	tree_write(&tree, "top", ELF, 0755);
	const struct plan_unit *unit = take(OURS, SERVICE);
	assert_int_equal(rights(unit, "/usr/lib/big/15/bin/server"), RULE_LIST);
	assert_int_equal(rights(unit, "/usr/lib/helper"), RULE_LIST);
	assert_int_equal(rights(unit, "/top"), RULE_LIST);
	assert_int_equal(rights(unit, "/usr/lib/big/15/lib/part.so"), SEE);
	assert_int_equal(rights(unit, "/usr/lib/libc.so.6"), SEE);
	assert_int_equal(rights(unit, "/usr/lib/.hidden"), SEE);
	assert_int_equal(rights(unit, "/usr/lib/not-executable"), SEE);
	assert_int_equal(rights(unit, "/app/bin/www"), SEE);
	assert_int_equal(rights(unit, "/app/node_modules/x/bin/x"), SEE);
	assert_int_equal(rights(unit, "/usr/lib/holdfast/holdfast"), SEE);
	/* As a whole where there is no program in it. */
	assert_int_equal(rights(unit, "/app/made/later"), SEE);
	assert_int_equal(rights(unit, "/usr/lib/made/later"), RULE_LIST);
}

static void test_a_folder_of_too_many_pieces(void **state)
{
	char path[64];

	(void)state;
	for (int i = 0; i <= READABLE_PIECES_MAX; i++) {
		(void)snprintf(path, sizeof(path), "opt/many/%d", i);
		tree_write(&tree, path, "x", 0644);
	}
	tree_write(&tree, "opt/many/program", ELF, 0755);
	tree_write(&tree, "opt/few/program", ELF, 0755);
	const struct plan_unit *unit = take(OURS, SERVICE);
	assert_int_equal(rights(unit, "/opt/many/0"), SEE);
	assert_int_equal(rights(unit, "/opt/many/program"), SEE);
	assert_int_equal(rights(unit, "/opt/few/program"), RULE_LIST);
	assert_non_null(tree_diag(&tree, "/opt/many/program is a program among more than"));
	assert_int_equal(units_diagnostics(tree.units)->count, 1);
}

static void test_paths_of_a_strict_unit(void **state)
{
	(void)state;
	tree_write(&tree, "srv/in/x", "x", 0644);
	tree_write(&tree, "srv/in/kept/x", "x", 0644);
	tree_write(&tree, "srv/tools/x", ELF, 0755);
	tree_write(&tree, "etc/private/key", "x", 0600);
	tree_write(&tree, "etc/other", "x", 0644);
	const struct plan_unit *unit = take(OURS, SERVICE "ReadWritePaths=/srv/in -/nowhere\n"
							  "ReadOnlyPaths=/srv/in/kept\n"
							  "ExecPaths=/srv/tools\n"
							  "InaccessiblePaths=/etc/private\n");
	assert_int_equal(rights(unit, "/srv/in/x"), SEE | RULE_WRITE);
	assert_int_equal(rights(unit, "/srv/in/kept/x"), SEE);
	assert_int_equal(rights(unit, "/srv/tools/x"), RUN);
	assert_int_equal(rights(unit, "/etc/private/key"), NOTHING);
	assert_int_equal(rights(unit, "/etc/other"), SEE);
	assert_int_equal(rights(unit, "/usr/bin/sh"), NOTHING);
	assert_int_equal(rights(unit, "/usr/bin/app"), RUN);
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
}

static void test_paths_of_a_distributions_unit(void **state)
{
	(void)state;
	tree_write(&tree, "usr/lib/x", "x", 0644);
	tree_write(&tree, "home/me/x", "x", 0644);
	const struct plan_unit *unit = take(SYSTEMD, SERVICE "NoExecPaths=/\n"
							     "ExecPaths=/usr/lib\n");
	assert_int_equal(unit->denied_rights, RULE_EXECUTE);
	assert_true(rights(unit, "/usr/lib/x") & RULE_EXECUTE);
	assert_true(rights(unit, "/usr/bin/app") & RULE_EXECUTE);
	assert_false(rights(unit, "/usr/bin/sh") & RULE_EXECUTE);
	unit = take(SYSTEMD, SERVICE "ReadOnlyDirectories=/\nReadWriteDirectories=/home\n");
	assert_int_equal(unit->denied_rights, RULE_WRITE);
	assert_true(rights(unit, "/home/me/x") & RULE_WRITE);
	assert_true(rights(unit, "/dev/log") & RULE_WRITE);
	assert_false(rights(unit, "/usr/lib/x") & RULE_WRITE);
	unit = take(SYSTEMD, SERVICE "InaccessiblePaths=/home\nReadWritePaths=/usr\n");
	assert_int_equal(unit->denied_rights, ALL_RIGHTS);
	assert_int_equal(rights(unit, "/home/me/x"), NOTHING);
	assert_int_equal(rights(unit, "/usr/lib/x") & ALL_RIGHTS, ALL_RIGHTS);
	/* It has nothing to take an exception from. */
	unit = take(SYSTEMD, SERVICE "ReadWritePaths=/usr\nExecPaths=/usr\n");
	assert_int_equal(unit->denied_rights, NOTHING);
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
}

/* New files may come to lie beside it, which nobody could name now. */
static void test_what_cannot_be_taken_away(void **state)
{
	(void)state;
	tree_write(&tree, "run/app/secret", "x", 0644);
	tree_write(&tree, "run/other", "x", 0644);
	const struct plan_unit *unit = take(SYSTEMD, SERVICE "InaccessiblePaths=/run/app\n");
	assert_int_equal(rights(unit, "/run/other") & ALL_RIGHTS, ALL_RIGHTS);
	assert_int_equal(rights(unit, "/run/app/secret") & ALL_RIGHTS, ALL_RIGHTS);
	const struct diag *diag = tree_diag(&tree, "/run/app cannot be taken away");
	assert_int_equal(diag->line, 3);
	/* All of it can. */
	unit = take(SYSTEMD, SERVICE "InaccessiblePaths=/run\n");
	assert_int_equal(rights(unit, "/run/other"), NOTHING);
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
}

static void test_links_are_followed_once(void **state)
{
	(void)state;
	tree_write(&tree, "srv/data/x", "x", 0644);
	tree_link(&tree, "data", "/srv/data");
	tree_write(&tree, "run/x", "x", 0644);
	tree_write(&tree, "var/run", "", 0644);
	assert_int_equal(unlinkat(tree.fd, "var/run", 0), 0);
	tree_link(&tree, "var/run", "/run");
	const struct plan_unit *unit =
		take(OURS, SERVICE "ReadWritePaths=/data -/var/run/made/later\n");
	assert_true(rights(unit, "/srv/data/x") & RULE_WRITE);
	assert_true(rights(unit, "/run/made/later") & RULE_WRITE);
	assert_false(rights(unit, "/data") & RULE_WRITE);
}

static void test_a_root_directory(void **state)
{
	(void)state;
	tree_write(&tree, "srv/root/usr/bin/app", "x", 0755);
	tree_write(&tree, "srv/root/usr/bin/sh", "x", 0755);
	tree_write(&tree, "srv/root/data/x", "x", 0644);
	const struct plan_unit *unit =
		take(OURS, SERVICE "RootDirectory=/srv/root\nReadWritePaths=+/data\n");
	assert_true(rights(unit, "/srv/root/usr/bin/app") & RULE_EXECUTE);
	assert_false(rights(unit, "/srv/root/usr/bin/sh") & (RULE_EXECUTE | RULE_READ));
	assert_int_equal(rights(unit, "/srv/root/data/x"), SEE | RULE_WRITE);
	assert_false(rights(unit, "/etc/passwd") & RULE_READ);
}

static void test_what_does_not_exist_is_said(void **state)
{
	(void)state;
	(void)take(OURS, SERVICE "ReadWritePaths=/nowhere -/optional /run/later\n"
				 "[X-Holdfast]\nSandbox=strict\n");
	const struct diag *diag = tree_diag(&tree, "ReadWritePaths=: /nowhere does not exist");
	assert_int_equal(diag->level, DIAG_WARNING);
	assert_int_equal(diag->line, 3);
	assert_int_equal(units_diagnostics(tree.units)->count, 1);
	/* What the developer's machine has says nothing of an image. */
	tree.request.is_offline = true;
	(void)tree_load(&tree);
	assert_int_equal(units_diagnostics(tree.units)->count, 0);
}

static void test_words(void **state)
{
	(void)state;
	const struct plan_unit *unit = take(SYSTEMD, SERVICE "ReadOnlyPaths=/etc\n"
							     "ReadOnlyPaths=\n"
							     "ReadOnlyPaths=/usr/lib/\n");
	assert_true(rights(unit, "/etc/passwd") & RULE_WRITE);
	assert_false(rights(unit, "/usr/lib/systemd") & RULE_WRITE);
	tree_write(&tree, SYSTEMD, SERVICE "ReadOnlyPaths=relative\nExecPaths=/a/../b\n", 0644);
	assert_int_equal(tree_load(&tree)->n_errors, 2);
	assert_int_equal(tree_diag(&tree, "expected an absolute path")->line, 3);
	assert_int_equal(tree_diag(&tree, "expected a path without \"..\"")->line, 4);
}

static void test_one_list_for_all(void **state)
{
	(void)state;
	tree_units(&tree, "x.service y.service");
	tree_unit(&tree, "y.service", SERVICE "User=web\n");
	const struct plan_unit *x = take(OURS, SERVICE);
	const struct plan_unit *y = tree_find(&tree, "y.service");
	assert_true(x->rules.count > 0 && x->shared_rules.count > 0);
	assert_int_equal(x->rules.first, y->rules.first);
	assert_int_equal(x->shared_rules.first, y->shared_rules.first);
	uint32_t i = plan_find_unit(&tree.public_plan, "x.service");
	assert_int_equal(plan_unit(&tree.public_plan, i)->rules.count, 0);
	assert_int_equal(plan_section_count(&tree.public_plan, PLAN_RULES), 0);
}

#define TEST(name) TREE_TEST(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_strict_unit),
		TEST(test_other_sandboxes),
		TEST(test_interpreters),
		TEST(test_hostile_heads),
		TEST(test_what_command_lines_name),
		TEST(test_what_can_be_read),
		TEST(test_a_folder_of_too_many_pieces),
		TEST(test_paths_of_a_strict_unit),
		TEST(test_paths_of_a_distributions_unit),
		TEST(test_what_cannot_be_taken_away),
		TEST(test_links_are_followed_once),
		TEST(test_a_root_directory),
		TEST(test_what_does_not_exist_is_said),
		TEST(test_words),
		TEST(test_one_list_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
