#include "units/names.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(":_.\\-@", c));
}

static enum name_class find_class(const char *suffix, enum unit_kind *ret_kind)
{
	static const char *const foreign[] = {"device", "mount", "automount", "swap",
					      "timer",	"path",	 "slice",     "scope"};

	for (unsigned i = 0; i < UNIT_KIND_COUNT; i++) {
		if (strcmp(suffix, unit_kind_names[i]) == 0) {
			*ret_kind = (enum unit_kind)i;
			return NAME_SUPPORTED;
		}
	}
	for (size_t i = 0; i < ARRAY_COUNT(foreign); i++) {
		if (strcmp(suffix, foreign[i]) == 0)
			return NAME_FOREIGN;
	}
	return NAME_INVALID;
}

struct unit_name name_parse(struct arena *arena, const char *text)
{
	struct unit_name name = {.class = NAME_INVALID, .full = text};
	const char *dot = strrchr(text, '.');
	size_t length = strlen(text);

	if (!dot || dot == text || *text == '@' || length > UNIT_NAME_MAX)
		return name;
	for (size_t i = 0; i < length; i++) {
		if (!is_name_char(text[i]))
			return name;
	}
	name.suffix = dot + 1;
	name.class = find_class(name.suffix, &name.kind);
	const char *at = memchr(text, '@', (size_t)(dot - text));
	name.prefix = arena_copy(arena, text, (size_t)((at ? at : dot) - text));
	if (at)
		name.instance = arena_copy(arena, at + 1, (size_t)(dot - at - 1));
	return name;
}

char *name_template(struct arena *arena, const struct unit_name *name)
{
	return arena_printf(arena, "%s@.%s", name->prefix, name->suffix);
}

char *name_instance(struct arena *arena, const struct unit_name *template, const char *instance)
{
	return arena_printf(arena, "%s@%s.%s", template->prefix, instance, template->suffix);
}

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

char *name_unescape(struct arena *arena, const char *text)
{
	struct text out = {.arena = arena};

	for (; *text; text++) {
		int high = -1, low = -1;
		if (text[0] == '\\' && text[1] == 'x') {
			high = hex_value(text[2]);
			low = high >= 0 ? hex_value(text[3]) : -1;
		}
		int byte = high * 16 + low;
		if (low >= 0 && byte >= 0x20) {
			text_addc(&out, (char)byte);
			text += 3;
		} else {
			text_addc(&out, *text == '-' ? '/' : *text);
		}
	}
	return text_end(&out);
}
