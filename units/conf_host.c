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

#define VALUE_MAX  1024
#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

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
