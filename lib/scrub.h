#pragma once
/*
 * Finding the values of secrets in text, by their fingerprints, and hiding them.
 *
 * Found is a value as it is, in the escapes of JSON (up to three strings deep), of a program's quoted
 * string or of a URL, and, if it is short, its base64 wherever it stands in a longer text. What is
 * hidden is made of whole characters and whole escapes; what touches is hidden together. The mark
 * never takes more room than what it stands for.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/fingerprint.h"
#include "lib/unescape.h"

#define SCRUB_TEXT_MAX 16384
#define SCRUB_MARK     "[secret]"
/* In the place of a number in JSON, which must become a string. */
#define SCRUB_NUMBER "\"secret\""
/* What begins before a place in the text ends within so many bytes behind it: a chunk, three times
 * escaped. */
#define SCRUB_AHEAD 320

#define SCRUB_DEPTH	   3 /* strings in strings */
#define SCRUB_FILTER_BITS  FINGERPRINT_WINDOW_BITS
#define SCRUB_FILTER_SHARE 128 /* bits of the filter an entry: so many bytes a false alarm */
#define SCRUB_FILTER_LEAST 12

struct scrub_level {
	struct unescaped result;
	char data[SCRUB_TEXT_MAX];
	struct unescape_mark marks[SCRUB_TEXT_MAX / 2];
};

/* Large: it has room for all that a text can need. It is touched as far as it is used. */
struct scrubber {
	const struct fingerprints *table; /* borrowed; NULL: nothing is found */
	uint64_t seen_changes;
	unsigned filter_bits; /* 0: there is nothing to look for */
	uint64_t n_hidden;    /* marks that were written */

	/* Of the text that scrub_find looked at last. */
	const char *text;
	size_t length;
	bool has_any;
	unsigned char covered[SCRUB_TEXT_MAX]; /* 1: to be hidden; only when there is any */

	struct scrub_level levels[SCRUB_DEPTH];
	uint64_t filter[(1U << SCRUB_FILTER_BITS) / 64];
};

/* table is borrowed for good, or NULL. */
void scrub_init(struct scrubber *scrubber, const struct fingerprints *table);

/*
 * Looks for values in text (borrowed until the next call), of which the first n_hidden bytes are
 * known to belong to one. Whether there is anything to hide. length <= SCRUB_TEXT_MAX.
 */
bool scrub_find(struct scrubber *scrubber, const char *text, size_t length, size_t n_hidden);

/* The text is one JSON object: what is hidden of a number becomes all of it, as no half of it would
 * be JSON. */
void scrub_widen_numbers(struct scrubber *scrubber);

/*
 * Where to cut, at the given place or a little before it: not within an escape, nor where so little of
 * a hidden piece would stand before it that the mark is longer.
 */
size_t scrub_cut(const struct scrubber *scrubber, size_t at);
/* How many bytes from there on belong to what begins before. */
size_t scrub_hidden_behind(const struct scrubber *scrubber, size_t at);

/*
 * Writes the text's first length bytes to `to` (as much room), with marks. is_marked: the text goes
 * on from one that ended with a mark, so that what touches its start needs none. How many bytes it
 * has become; *ret_is_marked whether it ends with something hidden.
 */
size_t scrub_write(struct scrubber *scrubber, size_t length, bool is_marked, bool is_json, char *to,
		   bool *ret_is_marked);
