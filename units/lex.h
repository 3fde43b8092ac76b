#pragma once
/*
 * Lines of a unit file or of holdfast.conf (systemd.syntax(7)): sections and assignments, comments
 * and continuations done away with. Every place in a value can be named by line and column again.
 */
#include <stddef.h>
#include <stdint.h>

#include "units/arena.h"
#include "units/report.h"

#define LEX_FILE_MAX (1U << 20) /* bytes of one file */

enum lex_kind {
	LEX_END,
	LEX_SECTION,	/* key: its name */
	LEX_ASSIGNMENT, /* key, value */
	LEX_ERROR	/* message; the line is passed over */
};

/* From offset of the value on it stands at this line and column. */
struct lex_piece {
	size_t offset;
	uint32_t line, column;
};

struct lex_item {
	enum lex_kind kind;
	struct where at; /* of the key */
	const char *key, *value;
	const char *message;
	const struct lex_piece *pieces;
	size_t n_pieces;
};

struct lexer {
	struct arena *arena;
	const char *file;
	const char *text, *end;
	uint32_t line;
};

/* text is borrowed until the last item; file for as long as the items. A byte order mark is
 * skipped. */
void lex_init(struct lexer *lexer, struct arena *arena, const char *file, const char *text,
	      size_t size);

/* The next item, whose strings live in the arena. */
void lex_next(struct lexer *lexer, struct lex_item *ret_item);

/* Where the byte at offset of the item's value stands. */
struct where lex_where(const struct lex_item *item, size_t offset);

/* The same for the whole value. */
struct where lex_value(const struct lex_item *item);
