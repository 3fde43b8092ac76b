#include "units/modules.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/report.h"
#include "units/source.h"

#define FOLDER	   "/usr/lib/holdfast/modules"
#define LIST	   FOLDER "/list"
#define LIST_BYTES 65536
#define FILES_MAX  64 /* a module with all that it needs */

/* Behind "NAME:", up to the line's end, or NULL. "-" and "_" are one. */
static char *find_files(struct units *units, const char *list, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = list; *line;) {
		size_t size = strcspn(line, "\n"), i = 0;
		while (i < length && i < size &&
		       (line[i] == '-' ? '_' : line[i]) == (name[i] == '-' ? '_' : name[i]))
			i++;
		if (i == length && i < size && line[i] == ':')
			return arena_copy(&units->arena, line + i + 1, size - i - 1);
		line += size + (line[size] == '\n');
	}
	return NULL;
}

/* ---- what a module says of itself (MODULE_INFO): NUL, KEY=VALUE, NUL, somewhere in its file */

#define CHUNK_BYTES 65536
#define VALUE_BYTES 1024

struct info {
	const char *depends, *vermagic; /* "" where it says none */
};

static const char *find_value(struct units *units, const char *chunk, size_t size, const char *key)
{
	size_t length = strlen(key) + 1; /* the NUL before it belongs to it */
	char pattern[16] = "";

	memcpy(pattern + 1, key, length - 1);
	const char *found = memmem(chunk, size, pattern, length);
	if (!found)
		return NULL;
	found += length;
	return arena_copy(&units->arena, found,
			  strnlen(found, MIN((size_t)(chunk + size - found), (size_t)VALUE_BYTES)));
}

static void take_value(struct units *units, const char *chunk, size_t size, const char *key,
		       const char **value)
{
	const char *found = **value ? NULL : find_value(units, chunk, size, key);

	if (found)
		*value = found;
}

/* 0, or -errno; -ENOEXEC where it is no ELF file. */
static int read_info(struct units *units, const char *path, struct info *ret_info)
{
	static char chunk[CHUNK_BYTES];
	struct info info = {"", ""};
	uint64_t offset = 0;
	ssize_t n;

	/* They overlap, so that each value is in one of them. */
	while ((n = source_peek(&units->source, path, offset, chunk, sizeof(chunk))) > 0) {
		if (offset == 0 && (n < 4 || memcmp(chunk, "\177ELF", 4) != 0))
			return -ENOEXEC;
		take_value(units, chunk, (size_t)n, "depends=", &info.depends);
		take_value(units, chunk, (size_t)n, "vermagic=", &info.vermagic);
		offset += CHUNK_BYTES - VALUE_BYTES;
	}
	if (n < 0)
		return (int)n;
	*ret_info = info;
	return offset > 0 ? 0 : -ENOEXEC;
}

/* ---- a line of the list */

struct checking {
	struct units *units;
	const struct units_module *module;
	struct where at;
	const char *kernel; /* that the first module of all was made for; NULL: none yet */
};

static bool is_same_name(const char *file, const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((file[i] == '-' ? '_' : file[i]) != (name[i] == '-' ? '_' : name[i]))
			return false;
	}
	return str_equal(file + length, ".ko");
}

static bool is_before(char *const *files, size_t count, const char *name, size_t length)
{
	for (size_t i = 0; i < count; i++) {
		if (strlen(files[i]) > length && is_same_name(files[i], name, length))
			return true;
	}
	return false;
}

static void check_dependencies(const struct checking *c, char *const *files, size_t n,
			       const char *depends)
{
	while (*depends) {
		size_t length = strcspn(depends, ",");
		if (length > 0 && !is_before(files, n, depends, length))
			report_error(
				&c->units->report, &c->at,
				"[Modules] %s: %s needs %.*s, which does not stand before it in " LIST,
				c->module->name, files[n], (int)length, depends);
		depends += length + (depends[length] == ',');
	}
}

static void check_kernel(struct checking *c, const char *file, const char *vermagic)
{
	const char *kernel = arena_copy(&c->units->arena, vermagic, strcspn(vermagic, " "));

	if (!*kernel)
		return;
	if (c->kernel && !str_equal(c->kernel, kernel))
		report_error(&c->units->report, &c->at,
			     "[Modules] %s: %s was made for the kernel %s, and others for %s",
			     c->module->name, file, kernel, c->kernel);
	c->kernel = kernel;
}

static void check_file(struct checking *c, char *const *files, size_t n)
{
	struct info info = {"", ""};
	const char *path = arena_printf(&c->units->arena, FOLDER "/%s", files[n]);

	int r = read_info(c->units, path, &info);
	if (r == -ENOEXEC)
		report_error(
			&c->units->report, &c->at,
			"[Modules] %s: %s is no ELF file: expected a module that is not compressed",
			c->module->name, files[n]);
	else if (r < 0)
		report_error(&c->units->report, &c->at,
			     "[Modules] %s: its file is not in " FOLDER ": %s", c->module->name,
			     files[n]);
	if (r < 0)
		return;
	check_dependencies(c, files, n, info.depends);
	check_kernel(c, files[n], info.vermagic);
}

static void check_module(struct checking *c, const char *list)
{
	char *text = find_files(c->units, list, c->module->name), *save = NULL;
	char *files[FILES_MAX];
	size_t count = 0;

	if (!text) {
		report_error(&c->units->report, &c->at,
			     "[Modules] %s: not in " LIST
			     ": the image has to be built with it (images/build)",
			     c->module->name);
		return;
	}
	for (char *file = strtok_r(text, " ", &save); file && count < FILES_MAX;
	     file = strtok_r(NULL, " ", &save)) {
		files[count++] = file;
		check_file(c, files, count - 1);
	}
}

void modules_check(struct units *units)
{
	const struct modules *modules = &units->conf.modules;
	char *list;
	size_t size;

	bool is_boot = units->request.is_host || units->request.environment;

	if (units->request.is_offline || is_boot || modules->count == 0)
		return;
	int r = source_read(&units->source, LIST, LIST_BYTES, &list, &size);
	struct checking checking = {.units = units};
	for (size_t i = 0; i < modules->count; i++) {
		const struct units_module *module = &modules->items[i];
		if (module->is_optional)
			continue;
		if (r == 0) {
			checking.module = module;
			checking.at = (struct where){module->file, module->line, 1};
			check_module(&checking, list);
			continue;
		}
		report_warning(&units->report, &(struct where){module->file, module->line, 1},
			       "[Modules] %s: " LIST ": %s: a host that boots this image refuses",
			       module->name, source_strerror(r));
	}
}
