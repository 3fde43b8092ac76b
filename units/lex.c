/*
 * A logical line is one or more lines of the file: a backslash at the end joins the next one by a
 * blank, and comment lines between them do not count. It is gathered first, with a note of where
 * each piece stood, and understood then. What is no text (NUL, control characters) is refused here,
 * once for all that read values: some of those bytes have a meaning in the plan (lib/plan.h).
 */
#include "units/lex.h"

#include <stdbool.h>
#include <string.h>

struct line {
	const char *text;
	size_t length;
	uint32_t number;
	const char *bad; /* the first byte that is no text, or NULL */
};

struct gathered {
	struct text text;
	struct lex_piece *pieces;
	size_t n_pieces, capacity;
};

void lex_init(struct lexer *lexer, struct arena *arena, const char *file, const char *text,
	      size_t size)
{
	static const char mark[] = "\xef\xbb\xbf";

	*lexer = (struct lexer){.arena = arena, .file = file, .text = text, .end = text + size};
	if (size >= 3 && memcmp(text, mark, 3) == 0)
		lexer->text += 3;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_text(char c)
{
	return (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t';
}

static bool next_line(struct lexer *lexer, struct line *ret_line)
{
	if (lexer->text == lexer->end)
		return false;
	size_t left = (size_t)(lexer->end - lexer->text);
	const char *newline = memchr(lexer->text, '\n', left);
	size_t length = newline ? (size_t)(newline - lexer->text) : left;
	struct line line = {.text = lexer->text, .length = length, .number = ++lexer->line};

	lexer->text += newline ? length + 1 : length;
	if (line.length > 0 && line.text[line.length - 1] == '\r')
		line.length--;
	for (size_t i = 0; i < line.length && !line.bad; i++) {
		if (!is_text(line.text[i]))
			line.bad = line.text + i;
	}
	*ret_line = line;
	return true;
}

static size_t skip_blanks(const char *text, size_t length)
{
	size_t i = 0;

	while (i < length && is_blank(text[i]))
		i++;
	return i;
}

static bool is_comment(const struct line *line)
{
	size_t i = skip_blanks(line->text, line->length);

	return i < line->length && (line->text[i] == '#' || line->text[i] == ';');
}

static bool continues(const struct line *line)
{
	return line->length > 0 && line->text[line->length - 1] == '\\';
}

static void gather(struct lexer *lexer, struct gathered *g, const struct line *line, size_t skip)
{
	size_t length = line->length - skip - continues(line);

	g->pieces =
		arena_grow(lexer->arena, g->pieces, g->n_pieces, &g->capacity, sizeof(*g->pieces));
	g->pieces[g->n_pieces++] = (struct lex_piece){
		.offset = g->text.length,
		.line = line->number,
		.column = (uint32_t)skip + 1,
	};
	text_add(&g->text, line->text + skip, length);
	if (continues(line))
		text_addc(&g->text, ' ');
}

static struct lex_item make_error(const struct lexer *lexer, uint32_t line, size_t column,
				  const char *message)
{
	return (struct lex_item){
		.kind = LEX_ERROR,
		.at = {lexer->file, line, (uint32_t)column},
		.message = message,
	};
}

static struct lex_item make_bad_byte(const struct lexer *lexer, const struct line *line)
{
	const char *message =
		*line->bad == '\0'
			? "a NUL byte: expected text"
			: arena_printf(lexer->arena, "control character 0x%02x: expected text",
				       (unsigned char)*line->bad);

	return make_error(lexer, line->number, (size_t)(line->bad - line->text) + 1, message);
}

static struct lex_item make_section(const struct lexer *lexer, const struct line *line,
				    const char *text, size_t length, size_t column)
{
	if (text[length - 1] != ']')
		return make_error(lexer, line->number, column + length,
				  "expected \"]\" at the end of the section's name");
	if (length < 3 || memchr(text + 1, '[', length - 2) || memchr(text + 1, ']', length - 2))
		return make_error(lexer, line->number, column, "expected [Section]");
	return (struct lex_item){
		.kind = LEX_SECTION,
		.at = {lexer->file, line->number, (uint32_t)column},
		.key = arena_copy(lexer->arena, text + 1, length - 2),
	};
}

static struct lex_item make_assignment(const struct lexer *lexer, const struct line *first,
				       size_t column, struct gathered *g)
{
	const char *text = g->text.data;
	size_t length = g->text.length;
	const char *equals = memchr(text, '=', length);
	size_t key_length = equals ? (size_t)(equals - text) : length;

	while (key_length > 0 && is_blank(text[key_length - 1]))
		key_length--;
	if (!equals)
		return make_error(lexer, first->number, column, "expected Key=value or [Section]");
	if (key_length == 0)
		return make_error(lexer, first->number, column, "expected a key before \"=\"");
	size_t start = (size_t)(equals - text) + 1;
	start += skip_blanks(text + start, length - start);
	while (length > start && is_blank(text[length - 1]))
		length--;
	for (size_t i = 0; i < g->n_pieces; i++) {
		struct lex_piece *piece = &g->pieces[i];
		size_t cut = piece->offset < start ? start - piece->offset : 0;
		piece->column += (uint32_t)cut;
		piece->offset = piece->offset + cut - start;
	}
	/* Of the pieces that end before the value begins, the last one holds its start. */
	size_t skip = 0;
	while (skip + 1 < g->n_pieces && g->pieces[skip + 1].offset == 0)
		skip++;
	return (struct lex_item){
		.kind = LEX_ASSIGNMENT,
		.at = {lexer->file, first->number, (uint32_t)column},
		.key = arena_copy(lexer->arena, text, key_length),
		.value = arena_copy(lexer->arena, text + start, length - start),
		.pieces = g->pieces + skip,
		.n_pieces = g->n_pieces - skip,
	};
}

/* Gathers the line and what continues it. False, with that line, when a byte there is no text. */
static bool gather_all(struct lexer *lexer, struct gathered *g, const struct line *first,
		       size_t skip, struct line *ret_bad)
{
	struct line line = *first;
	bool is_bad = false;

	gather(lexer, g, &line, skip);
	while (continues(&line)) {
		struct line next;
		if (!next_line(lexer, &next))
			break;
		if (is_comment(&next))
			continue;
		line = next;
		if (line.bad && !is_bad) {
			*ret_bad = line;
			is_bad = true;
		}
		gather(lexer, g, &line, 0);
	}
	return !is_bad;
}

void lex_next(struct lexer *lexer, struct lex_item *ret_item)
{
	struct line line, bad;

	while (next_line(lexer, &line)) {
		size_t skip = skip_blanks(line.text, line.length);
		if (skip == line.length || (is_comment(&line) && !line.bad))
			continue;
		if (line.bad) {
			*ret_item = make_bad_byte(lexer, &line);
			return;
		}
		if (line.text[skip] == '[') {
			size_t length = line.length - skip;
			while (is_blank(line.text[skip + length - 1]))
				length--;
			*ret_item = make_section(lexer, &line, line.text + skip, length, skip + 1);
			return;
		}
		struct gathered g = {.text = {.arena = lexer->arena}};
		if (!gather_all(lexer, &g, &line, skip, &bad))
			*ret_item = make_bad_byte(lexer, &bad);
		else
			*ret_item = make_assignment(lexer, &line, skip + 1, &g);
		return;
	}
	*ret_item = (struct lex_item){.kind = LEX_END, .at = {lexer->file, lexer->line, 0}};
}

struct where lex_where(const struct lex_item *item, size_t offset)
{
	struct where at = item->at;

	for (size_t i = 0; i < item->n_pieces && item->pieces[i].offset <= offset; i++) {
		at.line = item->pieces[i].line;
		at.column = item->pieces[i].column + (uint32_t)(offset - item->pieces[i].offset);
	}
	return at;
}

struct where lex_value(const struct lex_item *item)
{
	return lex_where(item, 0);
}
