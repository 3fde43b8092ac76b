#include "units/identity.h"

#include <string.h>

#include "lib/str.h"
#include "units/environment.h"
#include "units/source.h"

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
	*LIST_ADD(&units->arena, &units->needed) = (struct units_identity){
		.name = arena_copy(&units->arena, setting->text, length),
		.reference = reference,
		.file = setting->at.file,
		.line = setting->at.line,
		.column = setting->at.column,
	};
}

static const char *ask(struct units *units, const struct setting *setting, const char *reference,
		       bool *ret_is_pending)
{
	const char *const *given = units->request.identity;
	size_t length = (size_t)(reference - setting->text) - 1;

	if (!given) {
		need(units, setting, reference);
		*ret_is_pending = true;
		return "";
	}
	for (; *given; given++) {
		const char *value = value_of(*given, setting->text, length);
		if (value)
			return value;
	}
	return NULL;
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
		if (str_starts(reference, IMDS))
			return ask(units, setting, reference, ret_is_pending);
		/* In a container that command line is the machine's, and says nothing of us. */
		return units->request.is_host ? kernel_argument(units, reference + strlen(CMDLINE))
					      : NULL;
	}
	return NULL;
}
