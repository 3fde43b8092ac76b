#include "units/resolving.h"

#include <string.h>

const char *resolving_variable(const struct units *units, const char *name, size_t length)
{
	const char *const *environment = units->request.environment;

	for (; environment && *environment; environment++) {
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment;
	}
	return NULL;
}

bool resolving_has_files(const struct unit *unit)
{
	for (size_t i = 0; i < unit->secrets.count; i++) {
		if (unit->secrets.items[i].delivery == SECRET_FILE)
			return true;
	}
	return unit->templates.count > 0;
}
