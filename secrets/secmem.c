#include "secrets/secmem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES (32 << 20) /* the most that glibc takes for a threshold */
#define GROW_BYTES (256 << 10)

/* In front of each block, and as large as malloc(3) aligns. */
union head {
	size_t size;
	max_align_t align;
};

void secmem_init(void)
{
	/* What was given back is used again and never returned to the kernel while we live: a page
	 * that comes anew costs more than all that is done with it, and there are few of them. */
	(void)mallopt(M_TRIM_THRESHOLD, KEEP_BYTES);
	(void)mallopt(M_MMAP_THRESHOLD, KEEP_BYTES);
	(void)mallopt(M_TOP_PAD, GROW_BYTES);
}

static union head *head_of(void *memory)
{
	return (union head *)memory - 1;
}

void *secmem_alloc(size_t size)
{
	if (size > SIZE_MAX - sizeof(union head))
		return NULL;
	union head *head = malloc(sizeof(*head) + size);
	if (!head)
		return NULL;
	head->size = size;
	return head + 1;
}

void *secmem_zalloc(size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	void *memory = secmem_alloc(count * size);
	if (memory)
		memset(memory, 0, count * size);
	return memory;
}

void *secmem_realloc(void *memory, size_t size)
{
	void *fresh = secmem_alloc(size);

	if (!fresh || !memory)
		return fresh;
	size_t old = head_of(memory)->size;
	memcpy(fresh, memory, old < size ? old : size);
	secmem_free(memory);
	return fresh;
}

char *secmem_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = secmem_alloc(size);

	if (copy)
		memcpy(copy, text, size);
	return copy;
}

void secmem_free(void *memory)
{
	if (!memory)
		return;
	union head *head = head_of(memory);
	explicit_bzero(memory, head->size);
	free(head);
}

void secmem_freep(void *owner)
{
	void *memory;

	memcpy(&memory, owner, sizeof(memory));
	secmem_free(memory);
}
