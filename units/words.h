#pragma once
/*
 * Words of a value: quoting and escapes as systemd.syntax(7) and systemd.service(5), "COMMAND
 * LINES" have them.
 */
#include <stdbool.h>
#include <stddef.h>

#include "units/arena.h"

#define WORDS_UNQUOTE (1U << 0) /* "…" and '…' keep blanks together, and go */
#define WORDS_UNESCAPE \
	(1U << 1) /* \n, \x41, \101, \u00e9, \U0001F600 and their like; without it, text */
#define WORDS_RELAX (1U << 2) /* an open quote or a stray backslash is text, no error */

/* Outcomes of words_next. */
enum words_outcome { WORDS_END, WORDS_FOUND, WORDS_BAD };

/*
 * The word at *at, which is moved behind it and the blanks that follow. On WORDS_BAD *at stands at
 * the byte that is wrong and *ret_word says what was expected.
 */
enum words_outcome words_next(struct arena *arena, const char **at, unsigned flags,
			      char **ret_word);
