#include "units/programs.h"

#include <string.h>

#include "lib/reference.h"
#include "lib/str.h"
#include "units/report.h"
#include "units/source.h"

#define PROGRAM "holdfast"
#define REMOTE	"holdfast-secrets-remote"

/* By links, too: they lie together where the last one leads. */
static const char *const places[] = {
	"/usr/lib/holdfast/" PROGRAM,
	"/usr/local/lib/holdfast/" PROGRAM,
	"/usr/bin/" PROGRAM,
	"/usr/local/bin/" PROGRAM,
	"/usr/sbin/" PROGRAM,
	"/sbin/" PROGRAM,
	"/bin/" PROGRAM,
	"/sbin/init",
	"/init",
	"/" PROGRAM,
};

/* The folder with a slash at its end, or NULL. */
static const char *find_folder(struct units *units)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char *path;
		if (source_resolve(&units->source, places[i], &path) < 0)
			continue;
		const char *name = strrchr(path, '/') + 1;
		if (str_equal(name, PROGRAM))
			return arena_copy(&units->arena, path, (size_t)(name - path));
	}
	return NULL;
}

static void check_secrets(struct units *units, const struct unit *unit, const char *folder)
{
	for (size_t i = 0; i < unit->secrets.count; i++) {
		const struct secret *secret = &unit->secrets.items[i];
		if (reference_is_remote(secret->reference))
			report_error(&units->report, &secret->at,
				     "%.*s: is fetched by " REMOTE ", which is not in %s",
				     (int)strcspn(secret->reference, ":"), secret->reference,
				     folder);
	}
}

void programs_check(struct units *units)
{
	if (units->request.is_offline || units->request.environment)
		return;
	const char *folder = find_folder(units);
	if (!folder || source_executable(&units->source,
					 arena_printf(&units->arena, "%s" REMOTE, folder)) == 0)
		return;
	for (size_t i = 0; i < units->count; i++)
		check_secrets(units, units->items[i], folder);
	for (size_t i = 0; i < units->needed.count; i++) {
		const struct secret *needed = &units->needed.items[i];
		report_warning(&units->report, &needed->at,
			       "[Identity] %s=: is asked for by " REMOTE
			       ", which is not in %s: only "
			       "the environment can say it",
			       needed->name, folder);
	}
}
