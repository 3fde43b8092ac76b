#include "units/environment.h"

#include <string.h>

bool environment_name_is_valid(const char *name, size_t length)
{
	if (length == 0 || (*name >= '0' && *name <= '9'))
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = name[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_'))
			return false;
	}
	return true;
}

static size_t find(const struct strings *environment, const char *name, size_t length)
{
	for (size_t i = 0; i < environment->count; i++) {
		if (strncmp(environment->items[i], name, length) == 0 &&
		    environment->items[i][length] == '=')
			return i;
	}
	return environment->count;
}

bool environment_set(struct arena *arena, struct strings *environment, const char *assignment)
{
	size_t i = find(environment, assignment, strcspn(assignment, "="));

	if (i < environment->count)
		environment->items[i] = assignment;
	else if (environment->count == ENVIRONMENT_MAX)
		return false;
	else
		strings_add(arena, environment, assignment);
	return true;
}

void environment_unset(struct strings *environment, const char *text)
{
	size_t length = strcspn(text, "=");
	size_t i = find(environment, text, length);

	if (i == environment->count || (text[length] && strcmp(environment->items[i], text) != 0))
		return;
	environment->count--;
	memmove(&environment->items[i], &environment->items[i + 1],
		(environment->count - i) * sizeof(*environment->items));
}

const char *environment_get(const struct strings *environment, const char *name, size_t length)
{
	size_t i = find(environment, name, length);

	return i < environment->count ? environment->items[i] + length + 1 : NULL;
}

/* A file being read. */
struct reader {
	struct arena *arena;
	const char *at;
	unsigned line;
	void (*complain)(void *context, unsigned line, const char *message);
	void *context;
};

static char take(struct reader *reader)
{
	if (*reader->at == '\n')
		reader->line++;
	return *reader->at++;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_line(struct reader *reader)
{
	while (*reader->at && *reader->at != '\n')
		reader->at++;
}

/* A comment may be continued as any line may. */
static void skip_comment(struct reader *reader)
{
	while (*reader->at && *reader->at != '\n') {
		if (reader->at[0] == '\\' && reader->at[1])
			(void)take(reader);
		(void)take(reader);
	}
}

static void read_single_quoted(struct reader *reader, struct text *value)
{
	while (*reader->at && *reader->at != '\'')
		text_addc(value, take(reader));
	if (*reader->at)
		reader->at++;
}

static void read_double_quoted(struct reader *reader, struct text *value)
{
	while (*reader->at && *reader->at != '"') {
		char c = take(reader);
		if (c != '\\' || !*reader->at) {
			text_addc(value, c);
			continue;
		}
		char next = take(reader);
		if (next == '\n')
			continue;
		if (!strchr("\"\\`$", next))
			text_addc(value, '\\');
		text_addc(value, next);
	}
	if (*reader->at)
		reader->at++;
}

/* Blanks at the end do not count, but those that were quoted or escaped do: keep says how far. */
static char *read_value(struct reader *reader)
{
	struct text value = {.arena = reader->arena};
	size_t keep = 0;

	while (is_blank(*reader->at))
		reader->at++;
	while (*reader->at && *reader->at != '\n') {
		char c = take(reader);
		if (c == '\'') {
			read_single_quoted(reader, &value);
		} else if (c == '"') {
			read_double_quoted(reader, &value);
		} else if (c == '\\' && *reader->at) {
			char next = take(reader);
			if (next != '\n')
				text_addc(&value, next);
		} else {
			text_addc(&value, c);
			if (is_blank(c))
				continue;
		}
		keep = value.length;
	}
	value.length = keep;
	return text_end(&value);
}

static void read_assignment(struct reader *reader, struct strings *environment)
{
	unsigned line = reader->line;
	const char *start = reader->at;
	size_t length = strcspn(start, "=\n");

	if (start[length] != '=') {
		reader->complain(reader->context, line, "expected NAME=VALUE");
		skip_line(reader);
		return;
	}
	reader->at += length + 1;
	while (length > 0 && is_blank(start[length - 1]))
		length--;
	const char *value = read_value(reader);
	const char *name = arena_copy(reader->arena, start, length);
	if (!environment_name_is_valid(name, length))
		reader->complain(reader->context, line,
				 "expected a name of letters, digits and _ before \"=\"");
	else if (value[strcspn(value, "\x01\x02\x03\x04\x05\x06")])
		reader->complain(reader->context, line, "a control character in the value");
	else if (!environment_set(reader->arena, environment,
				  arena_printf(reader->arena, "%s=%s", name, value)))
		reader->complain(reader->context, line, "too many variables");
}

void environment_read(struct arena *arena, const char *text, struct strings *environment,
		      void (*complain)(void *context, unsigned line, const char *message),
		      void *context)
{
	struct reader reader = {
		.arena = arena, .at = text, .line = 1, .complain = complain, .context = context};

	while (*reader.at) {
		char c = *reader.at;
		if (c == '\n' || is_blank(c))
			(void)take(&reader);
		else if (c == '#' || c == ';')
			skip_comment(&reader);
		else
			read_assignment(&reader, environment);
	}
}
