#include "lib/path.h"

#include <string.h>

bool path_is_within(const char *path, const char *top)
{
	return strcmp(path, top) == 0 || path_is_below(path, top);
}

bool path_is_below(const char *path, const char *top)
{
	size_t length = strcmp(top, "/") == 0 ? 0 : strlen(top);

	return strncmp(path, top, length) == 0 && path[length] == '/' && path[length + 1];
}
