#include "units/identity.h"

#include <string.h>

#include "lib/str.h"
#include "units/environment.h"
#include "units/load.h"
#include "units/source.h"

#define IDENTITY_UNIT "holdfast-identity.service"
#define CMDLINE	      "cmdline:"
#define IMDS	      "imds:"
#define CMDLINE_BYTES 65536
/* What the metadata service takes in the key of a tag, and has in its paths. */
#define PATH_SIGNS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-=.,_:@/"

/* The value of a word of the kernel's command line, or NULL. */
static const char *kernel_argument(struct units *units, const char *name)
{
	size_t size, length = strlen(name);
	char *text, *save = NULL;

	if (source_read(&units->source, "/proc/cmdline", CMDLINE_BYTES, &text, &size) < 0)
		return NULL;
	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (strncmp(word, name, length) == 0 && word[length] == '=')
			return word + length + 1;
	}
	return NULL;
}

/* Where it goes wrong, or NULL. */
static const char *fault_of_imds(const char *path)
{
	const char *end = path + strspn(path, PATH_SIGNS);
	const char *up = strstr(path, "..");

	if (*path == '/' || end == path)
		return path;
	if (up && up < end)
		return up;
	if (*end == '#' && end[1] && end[-1] != '/')
		end += strcspn(end, " \t");
	return *end || end[-1] == '/' ? end : NULL;
}

static const char *find_fault(const char *reference)
{
	if (str_starts(reference, CMDLINE)) {
		const char *word = reference + strlen(CMDLINE);
		size_t length = strcspn(word, " \t=\"");
		return length == 0 || word[length] ? word + length : NULL;
	}
	return str_starts(reference, IMDS) ? fault_of_imds(reference + strlen(IMDS)) : reference;
}

void identity_apply(const struct parse *parse)
{
	struct units *units = parse->units;
	const char *name = parse->item->key;

	if (!environment_name_is_valid(name, strlen(name))) {
		report_error(&units->report, &parse->item->at,
			     "%s=: expected the name of a variable: letters, digits and _", name);
		return;
	}
	const char *fault = find_fault(parse->value);
	if (fault)
		parse_error(parse, (size_t)(fault - parse->value),
			    "expected cmdline:WORD, imds:tags/instance/KEY, imds:user-data#KEY or "
			    "imds: and a path of the instance's metadata");
	else
		settings_add(&units->arena, &units->conf.identity,
			     arena_printf(&units->arena, "%s=%s", name, parse->value),
			     lex_value(parse->item));
}

/* Behind "NAME=", or NULL. */
static const char *value_of(const char *assignment, const char *name, size_t length)
{
	return strncmp(assignment, name, length) == 0 && assignment[length] == '='
		       ? assignment + length + 1
		       : NULL;
}

static void need(struct units *units, const struct setting *setting, const char *reference)
{
	size_t length = (size_t)(reference - setting->text) - 1;

	for (size_t i = 0; i < units->needed.count; i++) {
		if (units->needed.items[i].reference == reference)
			return;
	}
	*LIST_ADD(&units->arena, &units->needed) = (struct secret){
		.name = arena_copy(&units->arena, setting->text, length),
		.reference = reference,
		.delivery = SECRET_ENVIRONMENT,
		.flags = SECRET_IS_CONFIG | SECRET_IS_REMOTE,
		.at = setting->at,
	};
}

const char *identity_find(struct units *units, const char *name, size_t length,
			  bool *ret_is_pending)
{
	const struct settings *list = &units->conf.identity;

	for (size_t i = list->count; i > 0; i--) {
		const struct setting *setting = &list->items[i - 1];
		const char *reference = value_of(setting->text, name, length);
		if (!reference)
			continue;
		if (str_starts(reference, IMDS)) {
			need(units, setting, reference);
			*ret_is_pending = true;
			return "";
		}
		/* In a container that command line is the machine's, and says nothing of us. */
		return units->request.is_host ? kernel_argument(units, reference + strlen(CMDLINE))
					      : NULL;
	}
	return NULL;
}

/* ---- the unit that asks */

static void relate(struct units *units, struct unit *unit, enum unit_relation type,
		   const struct secret *secret)
{
	*LIST_ADD(&units->arena, &unit->relations) = (struct relation){
		.type = type,
		.name = IDENTITY_UNIT,
		.at = secret->at,
		.is_implied = true,
	};
}

/* True where a secret of the unit needs it. */
static bool relate_unit(struct units *units, struct unit *unit)
{
	for (size_t i = 0; i < unit->secrets.count; i++) {
		if (!unit->secrets.items[i].is_pending)
			continue;
		relate(units, unit, REL_REQUIRES, &unit->secrets.items[i]);
		relate(units, unit, REL_AFTER, &unit->secrets.items[i]);
		return true;
	}
	return false;
}

static struct unit *create(struct units *units, const struct where *at)
{
	if (load_find_exact(units, IDENTITY_UNIT)) {
		report_error(&units->report, at,
			     "[Identity]: there is a unit %s: expected that name to be free",
			     IDENTITY_UNIT);
		return NULL;
	}
	struct unit *unit = load_create(units, IDENTITY_UNIT, at);
	if (!unit)
		return NULL;
	unit->file = at->file;
	unit->description = "What the machine says of itself: [Identity]";
	unit->plan.type = SERVICE_ONESHOT;
	unit->plan.flags |= UNIT_REMAIN_AFTER_EXIT;
	unit->secrets = units->needed;
	return unit;
}

void identity_add_unit(struct units *units)
{
	size_t count = units->count;

	if (units->needed.count == 0)
		return;
	struct where at = units->needed.items[0].at;
	struct unit *unit = create(units, &at);
	if (!unit)
		return;
	for (size_t i = 0; i < count; i++) {
		bool is_essential = units->items[i]->plan.flags & UNIT_ESSENTIAL;
		if (!relate_unit(units, units->items[i]) || !is_essential)
			continue;
		/* Its status is the instance's then, and not that of one that could not be started. */
		unit->plan.flags |= UNIT_ESSENTIAL;
		unit->plan.failure_action = ACTION_EXIT;
	}
	units->identity_unit = unit;
}
