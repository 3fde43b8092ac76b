#pragma once
/*
 * What all providers of holdfast-secrets-remote share: the helper's memory between its runs.
 */
#include "lib/str.h"
#include "secrets/state.h"

/* Loaded before the first provider is prepared, saved after the last has fetched. */
extern struct state remote_state;

/* Reads a whole small file (a token, a certificate) while we may: memory for secmem_free, NUL-ended,
 * or NULL with a sentence in why. */
char *remote_read_file(const char *path, size_t max, size_t *ret_length, struct strbuf *why);
