/* TESTS: units/lex.c units/arena.c */
/* Any bytes as a unit file: the lexer ends, and every place that it names lies in the file. */
#include <stdlib.h>
#include <string.h>

#include "units/lex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_item(const struct lex_item *item, size_t size)
{
	if (item->kind == LEX_ERROR && (!item->message || item->at.line == 0))
		abort();
	if (item->kind != LEX_ASSIGNMENT)
		return;
	for (size_t i = 0; i <= strlen(item->value); i++) {
		struct where at = lex_where(item, i);
		if (at.line < item->at.line || at.line > size + 1 || at.column > size + 2)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct lexer lexer;
	struct lex_item item;

	arena_init(&arena, 64U << 20);
	if (setjmp(arena.on_failure) == 0) {
		lex_init(&lexer, &arena, "x.service", (const char *)data, size);
		do {
			lex_next(&lexer, &item);
			check_item(&item, size);
		} while (item.kind != LEX_END);
	}
	arena_finish(&arena);
	return 0;
}
