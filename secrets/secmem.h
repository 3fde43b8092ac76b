#pragma once
/*
 * Memory for what may hold a value: wiped when it is given back, and cut before it grows (no
 * realloc leaves a copy behind). Everything that parses or carries values allocates here, the
 * libraries too where they let us. Its pages are locked with all others (main.c).
 */
#include <stddef.h>

/* Once, before anything large: tells malloc(3) to keep what it is given back. */
void secmem_init(void);
/* As malloc(3), calloc(3), realloc(3), strdup(3) and free(3). */
void *secmem_alloc(size_t size);
void *secmem_zalloc(size_t count, size_t size);
void *secmem_realloc(void *memory, size_t size);
char *secmem_strdup(const char *text);
void secmem_free(void *memory);
/* For CLEANUP(secmem_freep) char *x. */
void secmem_freep(void *owner);
