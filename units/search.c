#include "units/search.h"

#include <errno.h>
#include <string.h>

const char *search_outside(struct units *units, const struct unit *unit, const char *path)
{
	const char *root = unit->root_directory.text;

	return root && strcmp(root, "/") != 0 ? arena_printf(&units->arena, "%s%s", root, path)
					      : path;
}

int search_check(struct units *units, const struct unit *unit, const char *path)
{
	return source_executable(&units->source, search_outside(units, unit, path));
}

int search_program(struct units *units, const struct unit *unit, const char *name,
		   const char *folders, const char **ret_path)
{
	int result = -ENOENT;

	while (*folders) {
		size_t length = strcspn(folders, ":");
		const char *path =
			arena_printf(&units->arena, "%.*s/%s", (int)length, folders, name);
		folders += length + (folders[length] == ':');
		if (*path != '/')
			continue;
		int r = search_check(units, unit, path);
		if (r == 0) {
			*ret_path = path;
			return 0;
		}
		if (r == -EACCES)
			result = r;
	}
	return result;
}
