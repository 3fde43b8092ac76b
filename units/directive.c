#include "units/directive.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/values.h"
#include "units/words.h"

void settings_add(struct arena *arena, struct settings *list, const char *text, struct where at)
{
	*LIST_ADD(arena, list) = (struct setting){text, at};
}

__attribute__((format(printf, 2, 0))) static const char *with_key(const struct parse *parse,
								  const char *format, va_list args)
{
	struct arena *arena = &parse->units->arena;

	return arena_printf(arena, "%s=: %s", parse->item->key, arena_vprintf(arena, format, args));
}

void parse_error(const struct parse *parse, size_t offset, const char *format, ...)
{
	struct where at = lex_where(parse->item, offset);
	va_list args;

	va_start(args, format);
	report_error(&parse->units->report, &at, "%s", with_key(parse, format, args));
	va_end(args);
}

void parse_warning(const struct parse *parse, size_t offset, const char *format, ...)
{
	struct where at = lex_where(parse->item, offset);
	va_list args;

	va_start(args, format);
	report_warning(&parse->units->report, &at, "%s", with_key(parse, format, args));
	va_end(args);
}

char *parse_expand(const struct parse *parse, const char *text, size_t offset)
{
	size_t bad = 0;
	char *expanded;

	if (specifier_expand(&parse->specifiers, text, &expanded, &bad) == 0)
		return expanded;
	parse_error(parse, offset + bad, "%s", expanded);
	return NULL;
}

char *parse_word(const struct parse *parse, const char **at, unsigned flags, size_t *ret_offset)
{
	char *word;

	*at += strspn(*at, " \t");
	*ret_offset = (size_t)(*at - parse->value);
	switch (words_next(&parse->units->arena, at, flags, &word)) {
	case WORDS_FOUND: return parse_expand(parse, word, *ret_offset);
	case WORDS_BAD: parse_error(parse, (size_t)(*at - parse->value), "%s", word); break;
	case WORDS_END: break;
	}
	return NULL;
}

char *parse_absolute(const struct parse *parse, const char *text, size_t offset)
{
	char *path = parse_expand(parse, text, offset);

	if (!path)
		return NULL;
	if (*path != '/' && *path != UNIT_BYTE_CREDENTIALS) {
		parse_error(parse, offset, "\"%s\": expected an absolute path", path);
		return NULL;
	}
	size_t length = strlen(path);
	while (length > 1 && path[length - 1] == '/')
		path[--length] = '\0';
	if (strstr(path, "/../") || (length >= 3 && strcmp(path + length - 3, "/..") == 0)) {
		parse_error(parse, offset, "\"%s\": expected a path without \"..\"", path);
		return NULL;
	}
	return path;
}

void parse_text(const struct parse *parse, void *target)
{
	char *text = parse_expand(parse, parse->value, 0);

	if (text)
		*(const char **)target = text;
}

void parse_setting(const struct parse *parse, void *target)
{
	char *text = parse_expand(parse, parse->value, 0);

	if (text)
		*(struct setting *)target = (struct setting){text, lex_value(parse->item)};
}

void parse_path(const struct parse *parse, void *target)
{
	struct setting *setting = target;

	if (!*parse->value) {
		*setting = (struct setting){0};
		return;
	}
	char *path = parse_absolute(parse, parse->value, 0);
	if (path)
		*setting = (struct setting){path, lex_value(parse->item)};
}

void parse_list(const struct parse *parse, void *target)
{
	struct settings *list = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	if (!*at)
		list->count = 0;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset)))
		settings_add(&parse->units->arena, list, word, lex_where(parse->item, offset));
}

void parse_flag(const struct parse *parse, void *target)
{
	uint32_t *flags = target;
	bool is_set = false;

	if (*parse->value && str_parse_bool(parse->value, &is_set) < 0) {
		parse_error(parse, 0, "\"%s\": expected yes or no", parse->value);
		return;
	}
	*flags =
		is_set ? *flags | parse->directive->argument : *flags & ~parse->directive->argument;
}

void parse_answer(const struct parse *parse, void *target)
{
	int *answer = target;
	bool is_set;

	if (!*parse->value)
		*answer = ANSWER_UNSET;
	else if (str_parse_bool(parse->value, &is_set) < 0)
		parse_error(parse, 0, "\"%s\": expected yes or no", parse->value);
	else
		*answer = is_set ? ANSWER_YES : ANSWER_NO;
}

void parse_span(const struct parse *parse, void *target)
{
	if (value_span(parse->value, target) < 0)
		parse_error(parse, 0,
			    "\"%s\": expected a time span such as 30, 1min 30s or infinity",
			    parse->value);
}

void parse_timeout(const struct parse *parse, void *target)
{
	uint64_t us;

	if (value_span(parse->value, &us) < 0) {
		parse_error(parse, 0,
			    "\"%s\": expected a time span such as 30, 1min 30s or infinity",
			    parse->value);
		return;
	}
	*(uint64_t *)target = us == 0 ? PLAN_INFINITY_US : us;
	if (parse->directive->argument)
		*((bool *)parse->unit + parse->directive->argument) = true;
}

void parse_size(const struct parse *parse, void *target)
{
	if (value_size(parse->value, target) < 0)
		parse_error(parse, 0, "\"%s\": expected a size such as 512K, 64M or 1G",
			    parse->value);
}

void parse_number(const struct parse *parse, void *target)
{
	int32_t number;

	if (value_int(parse->value, (int32_t)parse->directive->argument, INT32_MAX, &number) < 0)
		parse_error(parse, 0, "\"%s\": expected a number of at least %u", parse->value,
			    parse->directive->argument);
	else
		*(uint32_t *)target = (uint32_t)number;
}

void parse_mode(const struct parse *parse, void *target)
{
	if (value_mode(parse->value, target) < 0)
		parse_error(parse, 0, "\"%s\": expected an octal mode such as 0755", parse->value);
}

void parse_signal(const struct parse *parse, void *target)
{
	if (value_signal(parse->value, target) < 0)
		parse_error(parse, 0,
			    "\"%s\": expected a signal such as SIGTERM, TERM, 15 or RTMIN+3",
			    parse->value);
}

void parse_enum(const struct parse *parse, void *target)
{
	char words[256];

	if (value_enum(parse->value, parse->directive->data, parse->directive->argument, target) ==
	    0)
		return;
	value_enum_words(parse->directive->data, parse->directive->argument, words, sizeof(words));
	parse_error(parse, 0, "\"%s\": expected %s", parse->value, words);
}

const struct directive *directive_find(const struct directive *table, size_t count,
				       const char *section, const char *key)
{
	for (size_t i = 0; i < count; i++) {
		if (table[i].key[0] == key[0] && strcmp(table[i].key, key) == 0 &&
		    strcmp(table[i].section, section) == 0)
			return &table[i];
	}
	return NULL;
}
