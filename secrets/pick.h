#pragma once
/* User data of an instance, as people write it. */
#include <stddef.h>

/*
 * The value of key in text: of a JSON object, or of lines KEY=VALUE, in which blanks around either
 * and one pair of quotes around the value do not count. Memory of secrets/secmem.h, NUL-ended, or
 * NULL when it is not there.
 */
char *pick_value(const char *text, size_t length, const char *key, size_t *ret_length);
