/*
 * What of holdfast.conf is for hosts alone: the machine's, not the instance's. Elsewhere the same file
 * stays valid, and what stands there is passed over with a warning.
 *
 * [Sysctl] has names as sysctl.d(5): the first separator decides whether it is "." or "/" that parts
 * them. Here they become paths below /proc/sys, so that no two spellings mean one thing.
 */
#include <string.h>

#include "lib/cleanup.h"
#include "units/conf.h"
#include "units/directive.h"

#define VALUE_MAX	   1024
#define MODULE_NAME_LENGTH 55 /* the kernel's MODULE_NAME_LEN */
#define NAME_CHARS	   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

static void swap_separators(char *name)
{
	for (; *name; name++)
		*name = (char)(*name == '.' ? '/' : *name == '/' ? '.' : *name);
}

/* Two parts at least, none of them empty, "." or "..". */
static bool is_path(const char *path)
{
	size_t n_parts = 0;

	for (const char *at = path;; at++) {
		size_t length = strcspn(at, "/");
		if (length == 0 || strspn(at, NAME_CHARS) < length || *at == '.')
			return false;
		n_parts++;
		at += length;
		if (!*at)
			return n_parts > 1;
	}
}

static bool is_value(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f)
			return false;
	}
	return length > 0 && length <= VALUE_MAX;
}

static void keep(struct units *units, const char *path, const char *value, struct where at)
{
	struct settings *list = &units->conf.sysctls;
	const char *line = arena_printf(&units->arena, "%s=%s", path, value);
	size_t length = strlen(path) + 1;

	for (size_t i = 0; i < list->count; i++) {
		if (strncmp(list->items[i].text, line, length) == 0) {
			list->items[i].text = line;
			list->items[i].at = at;
			return;
		}
	}
	settings_add(&units->arena, list, line, at);
}

const char *const units_lockdown_names[LOCKDOWN_COUNT] = {
	[LOCKDOWN_NONE] = "none",
	[LOCKDOWN_INTEGRITY] = "integrity",
	[LOCKDOWN_CONFIDENTIALITY] = "confidentiality",
};

/* As the kernel tells modules apart: "-" and "_" are one character. */
static bool is_same_module(const char *a, const char *b)
{
	for (; *a && (*a == '-' ? '_' : *a) == (*b == '-' ? '_' : *b); a++, b++)
		;
	return !*a && !*b;
}

static bool is_given(const struct modules *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++) {
		if (is_same_module(list->items[i].name, name))
			return true;
	}
	return false;
}

static bool is_module_name(const char *name)
{
	return *name && strlen(name) <= MODULE_NAME_LENGTH &&
	       strspn(name, NAME_CHARS) == strlen(name) && !strchr(name, '.');
}

/* "-NAME PARAMETER=VALUE …" */
void conf_parse_module(const struct parse *parse, void *target)
{
	struct modules *list = target;
	char *name = arena_string(&parse->units->arena, parse->value);
	bool is_optional = *name == '-';

	if (!*name) {
		list->count = 0;
		return;
	}
	name += is_optional;
	size_t length = strcspn(name, " \t");
	const char *parameters = name + length + strspn(name + length, " \t");
	name[length] = '\0';
	if (!is_module_name(name) || (*parameters && !is_value(parameters)))
		parse_error(parse, 0,
			    "\"%s\": expected the name of a kernel module and its parameters",
			    parse->value);
	else if (is_given(list, name))
		parse_error(parse, 0, "%s is given twice: one line with all its parameters", name);
	else
		*LIST_ADD(&parse->units->arena, list) =
			(struct units_module){.name = name,
					      .parameters = parameters,
					      .is_optional = is_optional,
					      .file = parse->item->at.file,
					      .line = parse->item->at.line};
}

void conf_apply_sysctl(const struct parse *parse)
{
	struct units *units = parse->units;
	char *path = arena_string(&units->arena, parse->item->key);
	size_t first = strcspn(path, "./");

	if (path[first] == '.')
		swap_separators(path);
	if (!is_path(path)) {
		report_error(
			&units->report, &parse->item->at,
			"%s=: expected the name of a kernel parameter such as net.core.somaxconn",
			parse->item->key);
		return;
	}
	if (is_value(parse->value))
		keep(units, path, parse->value, parse->item->at);
	else
		parse_error(parse, 0, "expected a value of printable characters, at most %u",
			    VALUE_MAX);
}
