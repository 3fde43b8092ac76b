/* TESTS: units/words.c units/names.c units/specifier.c units/source.c lib/walk.c units/arena.c lib/plan.c lib/str.c lib/fd.c lib/io.c lib/sys.c */
/* A command line: words under every set of flags, the specifiers of each, and names of units. */
#include <stdlib.h>
#include <string.h>

#include "units/specifier.h"
#include "units/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void split(struct arena *arena, const struct specifier_context *context, const char *text,
		  unsigned flags)
{
	const char *at = text;
	enum words_outcome outcome;
	char *word, *expanded;
	size_t offset;

	while ((outcome = words_next(arena, &at, flags, &word)) == WORDS_FOUND) {
		/* What a word may not hold is what the plan marks its own bytes with. */
		if (flags & WORDS_UNESCAPE && !strpbrk(text, "\x01\x02\x03\x04\x05\x06") &&
		    strpbrk(word, "\x01\x02\x03\x04\x05\x06"))
			abort();
		if (specifier_expand(context, word, &expanded, &offset) < 0 &&
		    offset >= strlen(word))
			abort();
		(void)name_parse(arena, word);
		(void)name_unescape(arena, word);
	}
	if (at > text + strlen(text) || (outcome == WORDS_BAD && flags == WORDS_RELAX))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct source source = {.root_fd = -1, .arena = &arena};

	arena_init(&arena, 64U << 20);
	if (setjmp(arena.on_failure) == 0) {
		struct unit_name name = name_parse(&arena, "a-b@c-\\x2d.service");
		struct specifier_context context = {
			.arena = &arena, .source = &source, .name = &name, .hostname = "h.example"};
		const char *text = arena_copy(&arena, (const char *)data, size);
		for (unsigned flags = 0; flags < 8; flags++)
			split(&arena, &context, text, flags);
	}
	arena_finish(&arena);
	return 0;
}
