#include "lib/scrub.h"

#include <stdatomic.h>
#include <string.h>

#include "lib/json.h"

#define MARK_LENGTH   (sizeof(SCRUB_MARK) - 1)
#define WINDOW	      8
#define CHARACTER_MAX 4
#define BASE64_FRINGE 3 /* letters on either side that hold bits of the value too */

_Static_assert(sizeof(SCRUB_NUMBER) == sizeof(SCRUB_MARK), "one length for both");
_Static_assert(MARK_LENGTH <= FINGERPRINT_MIN, "a mark is no longer than what it hides");

/* ---------------------------------------------------------------- the filter */

static void count(void *context, uint32_t window)
{
	uint64_t *n = context;

	(void)window;
	++*n;
}

static void add_to_filter(void *context, uint32_t window)
{
	struct scrubber *s = context;
	uint32_t bit = window >> (FINGERPRINT_WINDOW_BITS - s->filter_bits);

	s->filter[bit / 64] |= UINT64_C(1) << (bit % 64);
}

/* As small as false alarms allow, so that it stays in the nearest cache. What is added while this
 * goes on moves `changes` again. */
static void make_filter(struct scrubber *s)
{
	uint64_t n = 0;
	unsigned bits = SCRUB_FILTER_LEAST;

	fingerprint_each(s->table, count, &n);
	while (bits < SCRUB_FILTER_BITS && UINT64_C(1) << bits < n * SCRUB_FILTER_SHARE)
		bits++;
	s->filter_bits = n > 0 ? bits : 0;
	memset(s->filter, 0, (size_t)1 << (bits - 3));
	if (n > 0)
		fingerprint_each(s->table, add_to_filter, s);
}

static void follow_table(struct scrubber *s)
{
	uint64_t changes = atomic_load(&s->table->header->changes);

	if (changes == s->seen_changes)
		return;
	s->seen_changes = changes;
	make_filter(s);
}

void scrub_init(struct scrubber *scrubber, const struct fingerprints *table)
{
	scrubber->table = table;
	scrubber->seen_changes = 0;
	scrubber->filter_bits = 0;
	scrubber->n_hidden = 0;
	for (size_t i = 0; i < SCRUB_DEPTH; i++)
		scrubber->levels[i].result = (struct unescaped){.data = scrubber->levels[i].data,
								.marks = scrubber->levels[i].marks};
}

/* ---------------------------------------------------------------- finding */

/* Text without its escapes, and without those of what it came from, back to the line itself. */
struct layer {
	const char *text;
	size_t length;
	const struct unescaped *from; /* NULL: it is the line */
	const struct layer *outer;
};

static void cover(struct scrubber *s, const struct layer *layer, size_t start, size_t end)
{
	for (; layer->from; layer = layer->outer)
		unescape_locate(layer->from, &start, &end);
	if (!s->has_any)
		memset(s->covered, 0, s->length);
	s->has_any = true;
	memset(s->covered + start, 1, end - start);
}

static bool is_base64(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '+' ||
	       c == '/' || c == '-' || c == '_' || c == '=';
}

static void confirm(struct scrubber *s, const struct layer *layer, uint32_t window, size_t end)
{
	bool has_fringe = false;
	size_t length = fingerprint_match(s->table, window, layer->text + end, end, &has_fringe);

	if (length == 0)
		return;
	size_t start = end - length;
	for (int i = 0; has_fringe && i < BASE64_FRINGE; i++) {
		start -= start > 0 && is_base64(layer->text[start - 1]);
		end += end < layer->length && is_base64(layer->text[end]);
	}
	while (has_fringe && end < layer->length && layer->text[end] == '=')
		end++;
	cover(s, layer, start, end);
}

/* Windows that begin at from and on, before to. This is where the time goes. */
static void search(struct scrubber *s, const struct layer *layer, size_t from, size_t to)
{
	const struct fingerprint_key key = s->table->key;
	const unsigned shift = 64 - s->filter_bits;
	const uint64_t *filter = s->filter;

	if (layer->length < WINDOW)
		return;
	if (to > layer->length - WINDOW + 1)
		to = layer->length - WINDOW + 1;
	for (size_t i = from; i < to; i++) {
		uint64_t hash = fingerprint_window(&key, layer->text + i);
		uint64_t bit = hash >> shift;
		if (filter[bit / 64] >> (bit % 64) & 1)
			confirm(s, layer, (uint32_t)(hash >> (64 - FINGERPRINT_WINDOW_BITS)),
				i + WINDOW);
	}
}

/* Only what has an escape in it can be new: all else was seen with the escapes still there. */
static void search_near_escapes(struct scrubber *s, const struct layer *layer)
{
	size_t done = 0;

	for (size_t i = 0; i < layer->from->n_marks; i++) {
		const struct unescape_mark *mark = &layer->from->marks[i];
		size_t from = mark->at < WINDOW ? 0 : mark->at - (size_t)(WINDOW - 1);
		size_t to = (size_t)mark->at + mark->count + FINGERPRINT_MAX - WINDOW;
		search(s, layer, from > done ? from : done, to);
		if (to > done)
			done = to;
	}
}

static bool search_unescaped(struct scrubber *s, const struct layer *outer, enum unescape_kind kind,
			     unsigned depth, struct layer *ret_layer)
{
	struct unescaped *result = &s->levels[depth].result;

	if (!memchr(outer->text, unescape_introducers[kind], outer->length) ||
	    !unescape(kind, outer->text, outer->length, result))
		return false;
	*ret_layer = (struct layer){
		.text = result->data, .length = result->length, .from = result, .outer = outer};
	search_near_escapes(s, ret_layer);
	return true;
}

static void search_all(struct scrubber *s)
{
	struct layer layers[SCRUB_DEPTH + 1] = {{.text = s->text, .length = s->length}}, ignored;

	search(s, &layers[0], 0, s->length);
	(void)search_unescaped(s, &layers[0], UNESCAPE_PERCENT, 0, &ignored);
	for (unsigned depth = 0; depth < SCRUB_DEPTH; depth++) {
		if (!search_unescaped(s, &layers[depth], UNESCAPE_BACKSLASH, depth,
				      &layers[depth + 1]))
			break;
	}
}

/* ---------------------------------------------------------------- edges */

/* The length of the character or escape at a place: nothing cuts it. */
static size_t unit_length(const struct scrubber *s, size_t at)
{
	size_t left = s->length - at, n, ignored;

	if (s->text[at] == '\\')
		n = unescape_one(UNESCAPE_BACKSLASH, s->text + at, left, NULL, &ignored);
	else
		n = (unsigned char)s->text[at] < 0x80
			    ? 1
			    : json_utf8_length((const unsigned char *)s->text + at, left);
	return n > 0 ? n : 1;
}

/* A character or escape that is hidden in part is hidden. */
static void cover_whole_units(struct scrubber *s)
{
	for (size_t at = 0, n; at < s->length; at += n) {
		n = unit_length(s, at);
		if (n > 1 && memchr(s->covered + at, 1, n))
			memset(s->covered + at, 1, n);
	}
}

bool scrub_find(struct scrubber *scrubber, const char *text, size_t length, size_t n_hidden)
{
	struct scrubber *s = scrubber;

	s->text = text;
	s->length = length;
	s->has_any = false;
	if (!s->table)
		return false;
	follow_table(s);
	if (n_hidden > 0)
		cover(s, &(struct layer){0}, 0, n_hidden < length ? n_hidden : length);
	if (s->filter_bits > 0)
		search_all(s);
	if (s->has_any)
		cover_whole_units(s);
	return s->has_any;
}

static bool is_of_number(char c)
{
	return (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E';
}

/* Whether the quote, escape or character at *at, which is moved behind it, leaves us in a string. */
static bool step_in_json(const struct scrubber *s, size_t *at, bool is_in_string)
{
	char c = s->text[(*at)++];

	if (c == '"')
		return !is_in_string;
	if (c == '\\' && is_in_string && *at < s->length)
		++*at;
	return is_in_string;
}

void scrub_widen_numbers(struct scrubber *scrubber)
{
	struct scrubber *s = scrubber;
	bool is_in_string = false;

	for (size_t at = 0; at < s->length; is_in_string = step_in_json(s, &at, is_in_string)) {
		if (is_in_string || !is_of_number(s->text[at]))
			continue;
		bool before = at > 0 && is_of_number(s->text[at - 1]) && s->covered[at - 1];
		s->covered[at] |= before;
		for (size_t i = at;
		     s->covered[at] && i > 0 && is_of_number(s->text[i - 1]) && !s->covered[i - 1];
		     i--)
			s->covered[i - 1] = 1;
	}
}

/* ---------------------------------------------------------------- cutting and writing */

size_t scrub_cut(const struct scrubber *scrubber, size_t at)
{
	const struct scrubber *s = scrubber;

	if (at >= s->length)
		return at;
	if (memchr(s->text, '\\', at)) {
		size_t unit = 0;
		for (size_t n = unit_length(s, 0); unit + n <= at; n = unit_length(s, unit))
			unit += n;
		at = unit > 0 ? unit : at;
	}
	if (!s->has_any)
		return at;
	size_t start = at;
	while (start > 0 && at - start < MARK_LENGTH && s->covered[start - 1])
		start--;
	return start > 0 && at - start < MARK_LENGTH ? start : at;
}

size_t scrub_hidden_behind(const struct scrubber *scrubber, size_t at)
{
	size_t end = at;

	if (!scrubber->has_any || at == 0 || !scrubber->covered[at - 1])
		return 0;
	while (end < scrubber->length && scrubber->covered[end])
		end++;
	return end - at;
}

/* The end of the piece that begins at a place and is all hidden or all not. */
static size_t end_of_piece(const struct scrubber *s, size_t at, size_t length)
{
	const void *end = memchr(s->covered + at, s->covered[at] ? 0 : 1, length - at);

	return end ? (size_t)((const unsigned char *)end - s->covered) : length;
}

size_t scrub_write(struct scrubber *scrubber, size_t length, bool is_marked, bool is_json, char *to,
		   bool *ret_is_marked)
{
	struct scrubber *s = scrubber;
	bool is_in_string = false;
	size_t n = 0;

	for (size_t at = 0, end, json = 0; at < length; at = end) {
		end = end_of_piece(s, at, length);
		while (is_json && json < at)
			is_in_string = step_in_json(s, &json, is_in_string);
		if (!s->covered[at]) {
			memcpy(to + n, s->text + at, end - at);
			n += end - at;
		} else if (at > 0 || !is_marked) {
			memcpy(to + n, is_json && !is_in_string ? SCRUB_NUMBER : SCRUB_MARK,
			       MARK_LENGTH);
			n += MARK_LENGTH;
			s->n_hidden++;
		}
	}
	*ret_is_marked = length > 0 ? s->covered[length - 1] : is_marked;
	return n;
}
