#include "units/modules.h"

#include <string.h>

#include "lib/str.h"
#include "units/report.h"
#include "units/source.h"

#define FOLDER	   "/usr/lib/holdfast/modules"
#define LIST	   FOLDER "/list"
#define LIST_BYTES 65536

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

static void check_module(struct units *units, const struct units_module *module, const char *list)
{
	struct where at = {module->file, module->line, 1};
	char *files = find_files(units, list, module->name), *save = NULL;

	if (!files) {
		report_error(&units->report, &at,
			     "[Modules] %s: not in " LIST
			     ": the image has to be built with it (images/build)",
			     module->name);
		return;
	}
	for (char *file = strtok_r(files, " ", &save); file; file = strtok_r(NULL, " ", &save)) {
		mode_t mode;
		if (source_mode(&units->source, arena_printf(&units->arena, FOLDER "/%s", file),
				&mode) < 0)
			report_error(&units->report, &at,
				     "[Modules] %s: its file is not in " FOLDER ": %s",
				     module->name, file);
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
	for (size_t i = 0; i < modules->count; i++) {
		const struct units_module *module = &modules->items[i];
		if (module->is_optional)
			continue;
		if (r == 0) {
			check_module(units, module, list);
			continue;
		}
		report_warning(&units->report, &(struct where){module->file, module->line, 1},
			       "[Modules] %s: " LIST ": %s: a host that boots this image refuses",
			       module->name, source_strerror(r));
	}
}
