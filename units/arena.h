#pragma once
/*
 * Memory of one load: it only grows, and all of it goes at once. Nothing here returns an error:
 * when the limit is reached or memory is out, control returns to where on_failure was set
 * (units_load), so that no parser can go on with half of what it wanted to keep. Hence the rule
 * for whoever allocates: hold no fd and no lock meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used, size; /* of the newest block */
	size_t total, limit;
	jmp_buf on_failure;
};

void arena_init(struct arena *arena, size_t limit);
void arena_finish(struct arena *arena);

/* Zeroed, aligned for anything. */
void *arena_alloc(struct arena *arena, size_t size);
/* length bytes and a NUL. */
char *arena_copy(struct arena *arena, const char *data, size_t length);
char *arena_string(struct arena *arena, const char *text);
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *arena, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

/* Room for one more item behind count of them: items, or a larger copy of them. */
void *arena_grow(struct arena *arena, void *items, size_t count, size_t *capacity,
		 size_t item_size);

/* A list of strings. */
struct strings {
	const char **items;
	size_t count, capacity;
};
void strings_add(struct arena *arena, struct strings *list, const char *text);

/* Text of unknown length. */
struct text {
	struct arena *arena;
	char *data;
	size_t length, capacity;
};
void text_addc(struct text *text, char c);
void text_add(struct text *text, const char *data, size_t length);
void text_adds(struct text *text, const char *more);
/* What was added, NUL-ended; never NULL. */
char *text_end(struct text *text);
