/*
 * One pass over the text. What stands between places is written as it is; on the way two things are
 * kept track of: line and column, and, where the format's escaping depends on it, whether the text
 * is within quotes. A value is escaped in pieces, so that no second copy of it is made.
 *
 * Escaping either keeps every byte of the value, or it is refused: a value that was silently cut at
 * a comment sign is found in production, a refusal at the start.
 */
#include "lib/template.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/str.h"

const char *const template_format_names[TEMPLATE_FORMAT_COUNT] = {
	[TEMPLATE_UNKNOWN] = "", [TEMPLATE_RAW] = "raw", [TEMPLATE_JSON] = "json",
	[TEMPLATE_INI] = "ini",	 [TEMPLATE_ENV] = "env", [TEMPLATE_NUMBER] = "number",
};

static const struct {
	const char *ending;
	enum template_format format;
} endings[] = {
	{".json", TEMPLATE_JSON},      {".yaml", TEMPLATE_JSON}, {".yml", TEMPLATE_JSON},
	{".toml", TEMPLATE_JSON},      {".ini", TEMPLATE_INI},	 {".conf", TEMPLATE_INI},
	{".cnf", TEMPLATE_INI},	       {".cfg", TEMPLATE_INI},	 {".env", TEMPLATE_ENV},
	{".properties", TEMPLATE_INI},
};

static const char *const template_endings[] = {".in", ".tmpl", ".tpl", ".template"};

/* Without what says that it is a template. */
static size_t bare_length(const char *path)
{
	for (size_t i = 0; i < ARRAY_COUNT(template_endings); i++) {
		if (str_ends(path, template_endings[i]))
			return strlen(path) - strlen(template_endings[i]);
	}
	return strlen(path);
}

static bool has_ending(const char *path, size_t length, const char *ending)
{
	size_t n = strlen(ending);

	return length >= n && memcmp(path + length - n, ending, n) == 0;
}

enum template_format template_format_of(const char *path)
{
	size_t length = bare_length(path);

	for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
		if (has_ending(path, length, endings[i].ending))
			return endings[i].format;
	}
	return TEMPLATE_UNKNOWN;
}

bool template_is_json(const char *path)
{
	return has_ending(path, bare_length(path), ".json");
}

enum template_format template_format_find(const char *name, size_t length)
{
	for (size_t i = TEMPLATE_RAW; i < TEMPLATE_FORMAT_COUNT; i++) {
		if (strlen(template_format_names[i]) == length &&
		    memcmp(template_format_names[i], name, length) == 0)
			return (enum template_format)i;
	}
	return TEMPLATE_UNKNOWN;
}

/* Where in a line or a string of the file the text is. */
enum quotes {
	QUOTES_NONE,
	QUOTES_DOUBLE,
	QUOTES_SINGLE,
	QUOTES_START, /* of an environment file's line: nothing but blanks so far */
	QUOTES_KEY,
	QUOTES_COMMENT
};

struct renderer {
	const struct template_request *request;
	struct template_fault *fault;
	const char *at, *end;
	uint32_t line, column;
	enum quotes quotes;
	bool is_escaped; /* the next byte stands behind a backslash */
	size_t written;
};

/* A place as it was read. */
struct place {
	uint32_t line, column;
	enum template_format filter; /* TEMPLATE_UNKNOWN: none was given */
};

/* ---------------------------------------------------------------- where the text is */

static void track_json(struct renderer *r, char c)
{
	if (r->is_escaped)
		r->is_escaped = false;
	else if (c == '"')
		r->quotes = r->quotes == QUOTES_DOUBLE ? QUOTES_NONE : QUOTES_DOUBLE;
	else
		r->is_escaped = c == '\\' && r->quotes == QUOTES_DOUBLE;
}

static enum quotes next_quotes(enum quotes quotes, char c)
{
	bool is_begin = quotes == QUOTES_START;

	if (quotes == QUOTES_DOUBLE || quotes == QUOTES_SINGLE)
		return c == (quotes == QUOTES_DOUBLE ? '"' : '\'') ? QUOTES_NONE : quotes;
	if (c == '\n')
		return QUOTES_START;
	if (is_begin && (c == '#' || c == ';'))
		return QUOTES_COMMENT;
	if (is_begin || quotes == QUOTES_KEY)
		return c == '='				? QUOTES_NONE
		       : is_begin && strchr(" \t\r", c) ? quotes
							: QUOTES_KEY;
	if (quotes == QUOTES_NONE && (c == '"' || c == '\''))
		return c == '"' ? QUOTES_DOUBLE : QUOTES_SINGLE;
	return quotes;
}

/* Quotes as units/environment.c takes them: anywhere in a value, and over lines. */
static void track_env(struct renderer *r, char c)
{
	bool can_escape =
		r->quotes != QUOTES_SINGLE && r->quotes != QUOTES_START && r->quotes != QUOTES_KEY;

	if (r->is_escaped)
		r->is_escaped = false;
	else if (c == '\\' && can_escape)
		r->is_escaped = true;
	else
		r->quotes = next_quotes(r->quotes, c);
}

static void track(struct renderer *r, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (r->request->is_json)
			track_json(r, text[i]);
		else if (r->request->format == TEMPLATE_ENV)
			track_env(r, text[i]);
		r->column++;
		if (text[i] == '\n') {
			r->line++;
			r->column = 1;
		}
	}
}

/* ---------------------------------------------------------------- values */

static int emit(struct renderer *r, const char *bytes, size_t length)
{
	if (!r->request->write || length == 0)
		return 0;
	if (length > TEMPLATE_OUTPUT_MAX - r->written)
		return -E2BIG;
	r->written += length;
	return r->request->write(r->request->context, bytes, length);
}

/* A byte of the value that is written otherwise, or not at all. */
struct escape {
	const char *text; /* NULL: cannot be */
	size_t length;	  /* of text; 0 with text set: the byte stands for itself */
	size_t taken;	  /* of the value; 0 counts as 1 */
	char buffer[8];
};

static struct escape keep(void)
{
	return (struct escape){.text = ""};
}

static struct escape refuse(void)
{
	return (struct escape){.text = NULL};
}

static struct escape backslash(char c)
{
	struct escape escape = {.text = "\\", .length = 2, .buffer = {'\\', c}};

	return escape;
}

static bool is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

static struct escape escape_json(const struct renderer *r, const char *at, const char *end)
{
	static const char letters[] = "\bb\ff\nn\rr\tt\"\"\\\\";
	unsigned char c = (unsigned char)*at;

	(void)r;
	for (size_t i = 0; i + 1 < sizeof(letters); i += 2) {
		if (*at == letters[i])
			return backslash(letters[i + 1]);
	}
	/* JSON has a word for NUL, but readers in C end there. */
	if (c == '\0')
		return refuse();
	if (is_control(c)) {
		struct escape escape = {.text = "", .length = 6};
		(void)snprintf(escape.buffer, sizeof(escape.buffer), "\\u%04x", c);
		return escape;
	}
	if (c < 0x80)
		return keep();
	size_t n = json_utf8_length((const unsigned char *)at, (size_t)(end - at));
	return n ? (struct escape){.text = "", .taken = n} : refuse();
}

static struct escape escape_ini(const struct renderer *r, const char *at, const char *end)
{
	(void)r;
	(void)end;
	return is_control((unsigned char)*at) && *at != '\t' ? refuse() : keep();
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (unsigned char)c >= 0x80 || (c && strchr("_-.,:/@%+=", c));
}

static struct escape escape_env(const struct renderer *r, const char *at, const char *end)
{
	char c = *at;

	(void)end;
	if (is_control((unsigned char)c) && c != '\t' &&
	    !(r->quotes == QUOTES_DOUBLE && (c == '\n' || c == '\r')))
		return refuse();
	switch (r->quotes) {
	case QUOTES_DOUBLE: return strchr("\"\\`$", c) ? backslash(c) : keep();
	case QUOTES_SINGLE: return c == '\'' ? refuse() : keep();
	case QUOTES_NONE: return is_word(c) ? keep() : backslash(c);
	default: return is_word(c) && c != '=' ? keep() : refuse();
	}
}

static struct escape escape_raw(const struct renderer *r, const char *at, const char *end)
{
	(void)r;
	(void)at;
	(void)end;
	return keep();
}

/* What no reader of INI files agrees on: blanks at the ends, a comment sign where a word begins. */
static bool is_ini(const struct template_value *value)
{
	for (size_t i = 0; i < value->length; i++) {
		bool is_blank = value->data[i] == ' ' || value->data[i] == '\t';
		bool is_sign = value->data[i] == '#' || value->data[i] == ';';
		if (is_blank && (i == 0 || i + 1 == value->length))
			return false;
		if (is_sign && (i == 0 || value->data[i - 1] == ' ' || value->data[i - 1] == '\t'))
			return false;
	}
	return true;
}

static size_t skip_digits(const struct template_value *value, size_t i)
{
	while (i < value->length && value->data[i] >= '0' && value->data[i] <= '9')
		i++;
	return i;
}

static bool equals(const struct template_value *value, const char *text)
{
	return value->length == strlen(text) && memcmp(value->data, text, value->length) == 0;
}

/* RFC 8259, section 6, without an exponent. */
static bool is_number(const struct template_value *value)
{
	size_t start = value->length > 0 && value->data[0] == '-';
	size_t i = skip_digits(value, start);

	if (equals(value, "true") || equals(value, "false"))
		return true;
	if (i == start || (i > start + 1 && value->data[start] == '0'))
		return false;
	if (i < value->length && value->data[i] == '.') {
		size_t fraction = i + 1;
		i = skip_digits(value, fraction);
		if (i == fraction)
			return false;
	}
	return i == value->length;
}

static const struct {
	struct escape (*escape)(const struct renderer *r, const char *at, const char *end);
	bool (*fits)(const struct template_value *value); /* NULL: every value */
	const char *message;
} filters[TEMPLATE_FORMAT_COUNT] = {
	[TEMPLATE_RAW] = {escape_raw, NULL, ""},
	[TEMPLATE_JSON] = {escape_json, NULL,
			   "its value is no text: expected UTF-8 without a NUL byte"},
	[TEMPLATE_INI] = {escape_ini, is_ini,
			  "its value cannot stand in an INI file as it is: expected one line of "
			  "text without a blank at an end and without a # or ; that begins a word"},
	[TEMPLATE_ENV] = {escape_env, NULL,
			  "its value cannot stand here in an environment file: a line break needs "
			  "double quotes around it, a single quote none of its kind, and control "
			  "characters, names and comments take none at all"},
	[TEMPLATE_NUMBER] = {escape_raw, is_number,
			     "its value is no number, true or false: expected one, or a string"},
};

static int complain(struct renderer *r, const struct place *place, const char *message)
{
	r->fault->line = place->line;
	r->fault->column = place->column;
	r->fault->message = message;
	return -EINVAL;
}

static int write_value(struct renderer *r, const struct place *place, enum template_format format,
		       const struct template_value *value)
{
	const char *at = value->data, *end = at + value->length, *kept = at;

	if (filters[format].fits && !filters[format].fits(value))
		return complain(r, place, filters[format].message);
	while (at < end) {
		struct escape escape = filters[format].escape(r, at, end);
		if (!escape.text)
			return complain(r, place, filters[format].message);
		if (escape.length > 0) {
			int result = emit(r, kept, (size_t)(at - kept));
			if (result == 0)
				result = emit(r, escape.buffer, escape.length);
			if (result < 0)
				return result;
			kept = at + 1;
		}
		at += escape.taken ? escape.taken : 1;
	}
	return emit(r, kept, (size_t)(end - kept));
}

/* ---------------------------------------------------------------- places */

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

static const char *skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	return at;
}

static const char *skip_name(const char *at, const char *end)
{
	while (at < end && is_name(*at))
		at++;
	return at;
}

/* What stands between the braces. */
static int read_place(struct renderer *r, const char *end, struct place *place)
{
	const char *name = skip_blanks(r->at + 2, end);
	const char *at = skip_name(name, end);
	size_t length = (size_t)(at - name);

	if (length == 0 || length > TEMPLATE_NAME_MAX)
		return complain(r, place,
				"expected {{ NAME }} or {{ NAME | FILTER }}; two braces that are "
				"meant as such are written {{{{");
	memcpy(r->fault->name, name, length);
	r->fault->name[length] = '\0';
	at = skip_blanks(at, end);
	if (at == end)
		return 0;
	if (*at != '|')
		return complain(r, place, "expected }} or a filter, as in {{ NAME | json }}");
	const char *filter = skip_blanks(at + 1, end);
	at = skip_name(filter, end);
	place->filter = template_format_find(filter, (size_t)(at - filter));
	if (place->filter == TEMPLATE_UNKNOWN || skip_blanks(at, end) != end)
		return complain(r, place,
				"expected one of the filters raw, json, ini, env and number");
	return 0;
}

/* The escaping that holds for the place; < 0 when it has none. */
static int choose_format(struct renderer *r, const struct place *place)
{
	if (place->filter != TEMPLATE_UNKNOWN)
		return (int)place->filter;
	if (r->request->format == TEMPLATE_UNKNOWN)
		return complain(r, place,
				"the file's name does not say how to escape: expected a filter, as "
				"in {{ NAME | raw }}, or format= in the unit");
	if (r->request->is_json && r->quotes != QUOTES_DOUBLE)
		return complain(r, place,
				"expected it within double quotes, or {{ NAME | number }}");
	return (int)r->request->format;
}

/* It would take the first byte of the value for its own: "\{{ X }}" in JSON ends the string where
 * the value begins with a quote. */
static bool is_behind_backslash(const struct renderer *r)
{
	const char *at = r->at;

	while (at > r->request->text && at[-1] == '\\')
		at--;
	return (r->at - at) % 2 != 0;
}

static int fill_in(struct renderer *r, struct place *place, const char *end)
{
	struct template_value value = {.data = ""};
	int result = read_place(r, end, place);
	int format = result < 0 ? result : choose_format(r, place);

	if (format < 0)
		return format;
	if ((format == TEMPLATE_JSON || format == TEMPLATE_ENV) && is_behind_backslash(r))
		return complain(r, place, "expected no backslash before it");
	result = r->request->find(r->request->context, r->fault->name, &value);
	if (result == -ENOENT)
		return complain(r, place,
				"the unit has no Secret=, SecretFile=, SecretFd= or Config= of "
				"that name");
	if (result < 0 || !r->request->write)
		return result < 0 ? result : 0;
	return write_value(r, place, (enum template_format)format, &value);
}

/* At "{{". */
static int render_place(struct renderer *r)
{
	struct place place = {.line = r->line, .column = r->column};
	size_t left = (size_t)(r->end - r->at);
	int result;

	r->fault->name[0] = '\0';
	if (left >= 4 && memcmp(r->at, "{{{{", 4) == 0) {
		result = emit(r, "{{", 2);
		r->at += 4;
		r->column += 4;
		return result;
	}
	const char *newline = memchr(r->at, '\n', left);
	const char *line_end = newline ? newline : r->end;
	const char *close = memmem(r->at, (size_t)(line_end - r->at), "}}", 2);
	if (!close)
		return complain(r, &place, "expected }} on the same line");
	result = fill_in(r, &place, close);
	r->column += (uint32_t)(close + 2 - r->at);
	r->at = close + 2;
	if (r->quotes == QUOTES_START)
		r->quotes = QUOTES_KEY;
	return result;
}

int template_render(const struct template_request *request, struct template_fault *ret_fault)
{
	struct renderer r = {
		.request = request,
		.fault = ret_fault,
		.at = request->text,
		.end = request->text + request->size,
		.line = 1,
		.column = 1,
		.quotes = request->format == TEMPLATE_ENV ? QUOTES_START : QUOTES_NONE,
	};
	int result = 0;

	*ret_fault = (struct template_fault){.message = ""};
	while (r.at < r.end && result == 0) {
		const char *open = memmem(r.at, (size_t)(r.end - r.at), "{{", 2);
		size_t length = (size_t)((open ? open : r.end) - r.at);
		track(&r, r.at, length);
		result = emit(&r, r.at, length);
		r.at += length;
		if (open && result == 0)
			result = render_place(&r);
	}
	return result;
}
