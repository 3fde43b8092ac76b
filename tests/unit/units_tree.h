#pragma once
/*
 * A tree in /tmp that units are loaded from, and short ways to ask what came of it. For the tests of
 * units/ alone; each test makes one and removes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "units/compile.h"

struct tree {
	char path[64];
	int fd;
	struct units_request request;
	struct units_facts rights; /* of these facts uid, capabilities and so on */
	struct units *units;
	void *block, *public_block;
	struct plan plan, public_plan;
};

static inline void tree_write(struct tree *tree, const char *path, const char *text, mode_t mode)
{
	char folder[512];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		assert_true((size_t)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path),
					     path) < sizeof(folder));
		(void)mkdirat(tree->fd, folder, 0755);
	}
	int fd = openat(tree->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline void tree_unit(struct tree *tree, const char *name, const char *text)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "etc/holdfast/units/%s", name);
	tree_write(tree, path, text, 0644);
}

static inline void tree_link(struct tree *tree, const char *path, const char *target)
{
	tree_write(tree, path, "", 0644);
	assert_int_equal(unlinkat(tree->fd, path, 0), 0);
	assert_int_equal(symlinkat(target, tree->fd, path), 0);
}

static inline void tree_make(struct tree *tree)
{
	static const char *const no_environment[] = {NULL};

	*tree = (struct tree){.path = "/tmp/holdfast-test-XXXXXX"};
	assert_non_null(mkdtemp(tree->path));
	tree->fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(tree->fd >= 0);
	tree->request.root_fd = tree->fd;
	tree->request.environment = no_environment;
	tree->request.hostname = "h.example";
	tree_write(tree, "usr/bin/app", "x", 0755);
	tree_write(tree, "usr/bin/sh", "x", 0755);
	tree_write(tree, "usr/bin/data", "x", 0644);
	tree_write(tree, "etc/passwd",
		   "root:x:0:0:root:/root:/bin/sh\n"
		   "web:x:33:34:Web:/var/www:/usr/sbin/nologin\n"
		   "db:x:70:70::/var/lib/db:/bin/sh\n",
		   0644);
	tree_write(tree, "etc/group", "root:x:0:\nwww:x:34:\nssl:x:110:db,web\nlog:x:4:web\n",
		   0644);
}

static inline int tree_remove_one(const char *path, const struct stat *st, int type,
				  struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void tree_unload(struct tree *tree)
{
	free(tree->block);
	free(tree->public_block);
	units_free(tree->units);
	tree->block = tree->public_block = NULL;
	tree->units = NULL;
}

static inline void tree_remove(struct tree *tree)
{
	tree_unload(tree);
	close(tree->fd);
	assert_int_equal(nftw(tree->path, tree_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static inline const struct diag_list *tree_load(struct tree *tree)
{
	tree_unload(tree);
	assert_int_equal(units_load(&tree->request, &tree->units), 0);
	return units_diagnostics(tree->units);
}

static inline void tree_units(struct tree *tree, const char *names)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "[Holdfast]\nUnits=%s\n", names);
	tree_write(tree, "etc/holdfast/holdfast.conf", text, 0644);
}

/* Both plans, which lib/plan.h must find in order. */
static inline void tree_compile(struct tree *tree)
{
	static const struct units_protection protections[] = {
		{"root", "verity", "", PROTECTION_FULL}};
	const struct units_facts facts = {
		.is_pid1 = true,
		.boot_us = 5,
		.run_directory = "/run/holdfast",
		.credentials_directory = "/run/holdfast/credentials",
		.notify_address = "/run/holdfast/notify",
		.uid_log = 1,
		.uid_health = 2,
		.uid_secrets = 3,
		.n_listen = 1,
		.uid = tree->rights.uid,
		.capabilities = tree->rights.capabilities,
		.bounding = tree->rights.bounding,
		.has_no_new_privs = tree->rights.has_no_new_privs,
		.has_filters = tree->rights.has_filters,
		.protections = protections,
		.n_protections = 1,
	};
	size_t size;

	assert_int_equal(units_compile(tree->units, &facts, false, &tree->block, &size), 0);
	assert_int_equal(plan_open(tree->block, size, &tree->plan), 0);
	assert_int_equal(units_compile(tree->units, &facts, true, &tree->public_block, &size), 0);
	assert_int_equal(plan_open(tree->public_block, size, &tree->public_plan), 0);
}

static inline void tree_say(const struct diag_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		print_message("%s:%u:%u: %s: %s\n", list->items[i].file ? list->items[i].file : "-",
			      list->items[i].line, list->items[i].column,
			      list->items[i].level == DIAG_ERROR ? "error" : "warning",
			      list->items[i].message);
}

/* Loads what must load without an error, and compiles it. */
static inline void tree_take(struct tree *tree)
{
	const struct diag_list *list = tree_load(tree);

	if (list->n_errors > 0)
		tree_say(list);
	assert_int_equal(list->n_errors, 0);
	tree_compile(tree);
}

static inline const struct plan_unit *tree_find(const struct tree *tree, const char *name)
{
	uint32_t i = plan_find_unit(&tree->plan, name);

	assert_int_not_equal(i, PLAN_NO_UNIT);
	return plan_unit(&tree->plan, i);
}

/* The diagnostic whose message holds text; fails when there is none. */
static inline const struct diag *tree_diag(const struct tree *tree, const char *text)
{
	const struct diag_list *list = units_diagnostics(tree->units);

	for (size_t i = 0; i < list->count; i++) {
		if (strstr(list->items[i].message, text))
			return &list->items[i];
	}
	tree_say(list);
	fail_msg("nobody said \"%s\"", text);
	return NULL;
}

static inline bool tree_related(const struct tree *tree, const char *from, enum unit_relation type,
				const char *to)
{
	struct plan_list list = tree_find(tree, from)->relations[type];

	for (uint32_t i = 0; i < list.count; i++) {
		if (strcmp(plan_unit_name(&tree->plan, plan_list_get(&tree->plan, list, i)), to) ==
		    0)
			return true;
	}
	return false;
}

/* NAME's value in the unit's environment, or NULL. */
static inline const char *tree_variable(const struct tree *tree, const struct plan_unit *unit,
					const char *name)
{
	size_t length = strlen(name);

	for (uint32_t i = 0; i < unit->environment.count; i++) {
		const char *text =
			plan_string(&tree->plan, plan_list_get(&tree->plan, unit->environment, i));
		if (strncmp(text, name, length) == 0 && text[length] == '=')
			return text + length + 1;
	}
	return NULL;
}

static inline const char *tree_argument(const struct plan *plan, const struct plan_exec *exec,
					uint32_t i)
{
	assert_true(i < exec->argv.count);
	return plan_string(plan, plan_list_get(plan, exec->argv, i));
}

/* The tree of the test that runs. */
static struct tree tree;

static inline int tree_set_up(void **state)
{
	(void)state;
	tree_make(&tree);
	return 0;
}

static inline int tree_tear_down(void **state)
{
	(void)state;
	tree_remove(&tree);
	return 0;
}

/* A test that begins as set_up does, and ends without its tree. */
#define TREE_TEST(test, set_up) cmocka_unit_test_setup_teardown(test, set_up, tree_tear_down)
