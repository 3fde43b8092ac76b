#include "units/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

#define BLOCK_SIZE     (64U * 1024)
#define BLOCK_SIZE_MAX (1024U * 1024)
#define ALIGN	       16U

struct arena_block {
	struct arena_block *next;
	size_t size; /* keeps data aligned as well */
	char data[];
};

void arena_init(struct arena *arena, size_t limit)
{
	*arena = (struct arena){.limit = limit};
}

void arena_finish(struct arena *arena)
{
	while (arena->blocks) {
		struct arena_block *next = arena->blocks->next;
		free(arena->blocks);
		arena->blocks = next;
	}
}

static void add_block(struct arena *arena, size_t size)
{
	size_t left = arena->limit - arena->total;

	/* Doubling what there is, so that a large load makes few system calls. */
	size_t wanted = MAX((size_t)BLOCK_SIZE, MIN(arena->total, (size_t)BLOCK_SIZE_MAX));
	size = MAX(size, MIN(wanted, left));
	if (size > left)
		longjmp(arena->on_failure, 1);
	struct arena_block *block = calloc(1, sizeof(*block) + size);
	if (!block)
		longjmp(arena->on_failure, 1);
	block->next = arena->blocks;
	block->size = size;
	arena->blocks = block;
	arena->total += size;
	arena->size = size;
	arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > arena->limit)
		longjmp(arena->on_failure, 1);
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!arena->blocks || size > arena->size - arena->used)
		add_block(arena, size);
	void *data = arena->blocks->data + arena->used;
	arena->used += size;
	return data;
}

char *arena_copy(struct arena *arena, const char *data, size_t length)
{
	char *copy = arena_alloc(arena, length + 1);

	if (length > 0)
		memcpy(copy, data, length);
	return copy;
}

char *arena_string(struct arena *arena, const char *text)
{
	return arena_copy(arena, text, strlen(text));
}

char *arena_vprintf(struct arena *arena, const char *format, va_list args)
{
	va_list again;

	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (n < 0)
		longjmp(arena->on_failure, 1);
	char *text = arena_alloc(arena, (size_t)n + 1);
	(void)vsnprintf(text, (size_t)n + 1, format, args);
	return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	char *text = arena_vprintf(arena, format, args);
	va_end(args);
	return text;
}

void *arena_grow(struct arena *arena, void *items, size_t count, size_t *capacity, size_t item_size)
{
	if (count < *capacity)
		return items;
	size_t n = *capacity ? *capacity * 2 : 4;
	if (n > arena->limit / item_size)
		longjmp(arena->on_failure, 1);
	void *larger = arena_alloc(arena, n * item_size);
	if (count > 0)
		memcpy(larger, items, count * item_size);
	*capacity = n;
	return larger;
}

void strings_add(struct arena *arena, struct strings *list, const char *text)
{
	list->items =
		arena_grow(arena, list->items, list->count, &list->capacity, sizeof(*list->items));
	list->items[list->count++] = text;
}

void text_addc(struct text *text, char c)
{
	text->data = arena_grow(text->arena, text->data, text->length, &text->capacity, 1);
	text->data[text->length++] = c;
}

void text_add(struct text *text, const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		text_addc(text, data[i]);
}

void text_adds(struct text *text, const char *more)
{
	text_add(text, more, strlen(more));
}

char *text_end(struct text *text)
{
	text_addc(text, '\0');
	return text->data;
}
