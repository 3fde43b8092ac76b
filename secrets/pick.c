#include "secrets/pick.h"

#include <stdbool.h>
#include <string.h>

#include "secrets/decode.h"
#include "secrets/secmem.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **text, const char **end)
{
	while (*text < *end && is_blank(**text))
		++*text;
	while (*end > *text && is_blank((*end)[-1]))
		--*end;
}

static char *copy(const char *text, size_t length, size_t *ret_length)
{
	char *memory = secmem_alloc(length + 1);

	if (!memory)
		return NULL;
	memcpy(memory, text, length);
	memory[length] = '\0';
	*ret_length = length;
	return memory;
}

/* The value of a line KEY=VALUE, or NULL. */
static char *pick_line(const char *line, const char *end, const char *key, size_t *ret_length)
{
	const char *equals = memchr(line, '=', (size_t)(end - line));
	const char *key_end = equals;

	if (!equals)
		return NULL;
	trim(&line, &key_end);
	if ((size_t)(key_end - line) != strlen(key) || memcmp(line, key, strlen(key)) != 0)
		return NULL;
	const char *value = equals + 1;
	trim(&value, &end);
	if (end - value >= 2 && (*value == '"' || *value == '\'') && end[-1] == *value) {
		value++;
		end--;
	}
	return copy(value, (size_t)(end - value), ret_length);
}

char *pick_value(const char *text, size_t length, const char *key, size_t *ret_length)
{
	const char *const path[] = {key, NULL};
	const char *end = text + length;
	struct decode_span span;

	if (decode_check(text, length, NULL))
		return decode_find(text, length, path, &span) ? decode_text(&span, ret_length)
							      : NULL;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *line_end = newline ? newline : end;
		char *value = pick_line(text, line_end, key, ret_length);
		if (value)
			return value;
		text = newline ? newline + 1 : end;
	}
	return NULL;
}
