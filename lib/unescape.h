#pragma once
/*
 * Undoing the escapes that a value gets when it is written into a JSON string, a quoted string of a
 * program, or a URL, with a map back to where each byte came from. For finding things in text that
 * somebody else wrote, not for reading it: what is no escape stands for itself, nothing is refused.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum unescape_kind {
	UNESCAPE_BACKSLASH, /* \n \" \/ \u00e9 (pairs too) \xe9 and their like */
	UNESCAPE_PERCENT,   /* %2F */
	UNESCAPE_KIND_COUNT
};

/* The character that begins an escape of the kind. */
extern const char unescape_introducers[UNESCAPE_KIND_COUNT];

/* The longest escape, a surrogate pair, and the most bytes that one stands for. */
#define UNESCAPE_SOURCE_MAX 12
#define UNESCAPE_BYTES_MAX  4

/* The length of the escape at text (length is not 0), or 0 when there is none. What it stands for is
 * put into bytes (UNESCAPE_BYTES_MAX of them; NULL: not wanted), their number into *ret_count. */
size_t unescape_one(enum unescape_kind kind, const char *text, size_t length, char *bytes,
		    size_t *ret_count);

/* One escape, and where it stood. */
struct unescape_mark {
	uint16_t at;	      /* its first byte in the result */
	uint16_t source;      /* its first byte in the source */
	uint8_t count, width; /* bytes in the result, and in the source */
};

/* data and marks are the owner's: room for as many bytes as the source has, and for half as many
 * marks. */
struct unescaped {
	char *data;
	struct unescape_mark *marks;
	size_t length, n_marks;
};

/* The text (less than 64 KiB) without its escapes. False when it has none; *result is then
 * unspecified. */
bool unescape(enum unescape_kind kind, const char *text, size_t length, struct unescaped *result);

/* Where in the source the bytes from *start to *end (not empty) of the result stand: escapes are
 * taken whole. */
void unescape_locate(const struct unescaped *result, size_t *start, size_t *end);
