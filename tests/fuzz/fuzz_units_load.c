/* TESTS: units/arena.c units/check.c units/compile.c units/condition.c units/conf.c units/conf_secrets.c units/conf_host.c units/conf_network.c units/directive.c units/environment.c units/graph.c units/host.c units/identity.c units/lex.c units/listen.c units/load.c units/main_unit.c units/modules.c units/names.c units/parse_condition.c units/parse_execution.c units/parse_resource.c units/parse_holdfast.c units/parse_secret.c lib/reference.c units/parse_service.c units/parse_socket.c units/parse_template.c units/programs.c units/report.c units/interpreter.c units/listing.c units/parse_paths.c units/readable.c units/resolve.c units/resolve_command.c units/resolve_secrets.c units/resolving.c units/rules.c units/sandbox.c units/search.c units/spread.c units/schema.c units/shells.c units/specifier.c units/templates.c units/tmpfiles.c units/users.c units/values.c units/virtualization.c units/words.c units/writer.c lib/plan.c lib/resolvconf.c lib/template.c lib/trust.c lib/elf.c lib/path.c lib/walk.c lib/json.c lib/str.c lib/fd.c lib/io.c lib/sys.c lib/clock.c lib/signals.c */
/*
 * A whole tree from memory: the input is files, each a line "=== PATH" and then its text ("=== PATH
 * -> TARGET" is a link). This file stands in place of units/source.c. Whatever comes in, what loads
 * without an error must compile to plans that lib/plan.h finds in order, and every diagnostic must
 * say something.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/compile.h"
#include "units/source.h"

#define FILES_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
	const char *path, *text, *target;
	size_t path_length, size, target_length;
};

static struct file files[FILES_MAX];
static size_t n_files;

static const char *find_line(const char *at, const char *end)
{
	while (at < end && !((size_t)(end - at) >= 4 && memcmp(at, "=== ", 4) == 0)) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		at = newline ? newline + 1 : end;
	}
	return at;
}

static void split(const char *at, const char *end)
{
	n_files = 0;
	for (at = find_line(at, end); at < end && n_files < FILES_MAX;) {
		struct file *file = &files[n_files++];
		*file = (struct file){.path = at + 4};
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		const char *stop = newline ? newline : end;
		file->path_length = (size_t)(stop - file->path);
		const char *arrow = memmem(file->path, file->path_length, " -> ", 4);
		if (arrow) {
			file->target = arrow + 4;
			file->target_length = (size_t)(stop - file->target);
			file->path_length = (size_t)(arrow - file->path);
		}
		file->text = newline ? newline + 1 : end;
		at = find_line(file->text, end);
		file->size = (size_t)(at - file->text);
	}
}

static const struct file *find_file(const char *path)
{
	for (size_t i = 0; i < n_files; i++) {
		if (strlen(path) == files[i].path_length &&
		    memcmp(files[i].path, path, files[i].path_length) == 0)
			return &files[i];
	}
	return NULL;
}

const char *source_strerror(int error)
{
	return error == ENOTTY ? "it is no regular file" : strerror(error);
}

int source_status(int error)
{
	return error == ENOENT ? EX_NOINPUT : EX_CONFIG;
}

int source_init(struct source *source, int root_fd, struct arena *arena)
{
	*source = (struct source){.root_fd = root_fd, .arena = arena};
	return 0;
}

void source_finish(struct source *source)
{
	(void)source;
}

int source_read(struct source *source, const char *path, size_t max, char **ret_text,
		size_t *ret_size)
{
	const struct file *file = find_file(path);

	if (!file || file->target)
		return -ENOENT;
	if (file->size > max)
		return -EFBIG;
	*ret_text = arena_copy(source->arena, file->text, file->size);
	*ret_size = file->size;
	return 0;
}

ssize_t source_peek(struct source *source, const char *path, uint64_t offset, void *buffer,
		    size_t size)
{
	const struct file *file = find_file(path);

	(void)source;
	if (!file || file->target)
		return -ENOENT;
	size_t n = offset < file->size ? MIN(size, file->size - (size_t)offset) : 0;
	if (n > 0)
		memcpy(buffer, file->text + offset, n);
	return (ssize_t)n;
}

/* No directory can be opened: none is listed, none is searched for programs. */
int source_open(struct source *source, const char *path, int flags)
{
	(void)source;
	(void)path;
	(void)flags;
	return -ENOENT;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int source_list(struct source *source, const char *path, struct strings *ret_names,
		struct strings *ret_links)
{
	size_t length = strlen(path);
	struct strings names = {0}, links = {0};

	for (size_t i = 0; i < n_files; i++) {
		const struct file *file = &files[i];
		if (file->path_length <= length + 1 || memcmp(file->path, path, length) != 0 ||
		    file->path[length] != '/')
			continue;
		char *name = arena_copy(source->arena, file->path + length + 1,
					file->path_length - length - 1);
		name[strcspn(name, "/")] = '\0';
		strings_add(source->arena, &names, name);
		if (file->target)
			strings_add(source->arena, &links, name);
	}
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_names);
	if (links.count > 0)
		qsort(links.items, links.count, sizeof(*links.items), compare_names);
	*ret_names = names;
	if (ret_links)
		*ret_links = links;
	return names.count ? 0 : -ENOENT;
}

int source_link(struct source *source, const char *path, char **ret_target)
{
	const struct file *file = find_file(path);

	if (!file)
		return -ENOENT;
	if (!file->target)
		return -EINVAL;
	*ret_target = arena_copy(source->arena, file->target, file->target_length);
	return 0;
}

int source_mode(struct source *source, const char *path, mode_t *ret_mode)
{
	size_t length = strlen(path);

	(void)source;
	*ret_mode = S_IFREG | 0755;
	if (find_file(path))
		return 0;
	*ret_mode = S_IFDIR | 0755;
	for (size_t i = 0; i < n_files; i++) {
		if (files[i].path_length > length && memcmp(files[i].path, path, length) == 0 &&
		    files[i].path[length] == '/')
			return 0;
	}
	return -ENOENT;
}

int source_executable(struct source *source, const char *path)
{
	mode_t mode;

	int r = source_mode(source, path, &mode);
	return r == 0 && !S_ISREG(mode) ? -EACCES : r;
}

int source_resolve(struct source *source, const char *path, char **ret_path)
{
	*ret_path = arena_string(source->arena, path);
	return 0;
}

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

static void compile(const struct units *units, bool is_public)
{
	const struct units_facts facts = {.credentials_directory = is_public ? "" : "/run/c"};
	struct plan plan;
	void *block;
	size_t size;

	int r = units_compile(units, &facts, is_public, &block, &size);
	check((r == 0) == (units_diagnostics(units)->n_errors == 0));
	if (r < 0)
		return;
	check(plan_open(block, size, &plan) == 0);
	check(plan_unit_count(&plan) == units_count(units));
	free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const environment[] = {"APP_ENV=prod", "PATH=/usr/bin", NULL};
	static const struct units_override overrides[] = {
		{"Holdfast", "StopTimeoutSec", "30", "--stop-timeout", true}};
	struct units_request request = {
		.root_fd = 0,
		.overrides = overrides,
		.n_overrides = 1,
		.environment = environment,
		.is_offline = size % 2,
		.hostname = "h",
	};
	struct units *units;

	/* Every loaded unit costs time: what is found with more is found with less. */
	if (size > 16384)
		return 0;
	split((const char *)data, (const char *)data + size);
	if (units_load(&request, &units) < 0)
		return 0;
	const struct diag_list *list = units_diagnostics(units);
	for (size_t i = 0; i < list->count; i++)
		check(*list->items[i].message && list->items[i].status != 0);
	compile(units, false);
	compile(units, true);
	units_free(units);
	return 0;
}
