#include "log/line.h"

#include "lib/cleanup.h"
#include "lib/ring.h"
#include "lib/scan.h"
#include "log/split.h"

_Static_assert(SPLIT_TEXT_MAX + SCRUB_AHEAD <= SCRUB_TEXT_MAX, "what has to be seen can be");

static char buffer[SCRUB_TEXT_MAX];

/* Which of the two places for our envelope the object has taken itself. */
struct taken {
	bool has_key, has_other_key;
};

static void find_keys(void *context, struct scan_span key, struct scan_span value)
{
	struct taken *taken = context;

	(void)value;
	taken->has_key |= scan_string_is(key, "holdfast");
	taken->has_other_key |= scan_string_is(key, "_holdfast");
}

/* RING_IS_JSON and RING_HAS_KEY of a whole line, or 0. With both places taken there is none left
 * beside the object's own members, and it is carried as text. */
static uint32_t object_flags(const char *text, uint32_t length)
{
	struct taken taken = {0};
	struct scan_span object;

	if (!scan_object(text, length, find_keys, &taken, &object) ||
	    (taken.has_key && taken.has_other_key))
		return 0;
	return RING_IS_JSON | (taken.has_key ? RING_HAS_KEY : 0);
}

/* Puts the text with marks into the buffer. */
static void write_hidden(struct scrubber *scrubber, bool is_json, struct line *line)
{
	uint64_t before = scrubber->n_hidden;
	bool is_marked;

	line->length = (uint32_t)scrub_write(scrubber, line->taken, line->carry.is_marked, is_json,
					     buffer, &is_marked);
	line->text = buffer;
	line->n_hidden = (uint32_t)(scrubber->n_hidden - before);
	line->carry.is_marked = is_marked;
}

bool line_as_object(struct scrubber *scrubber, const char *text, uint32_t length,
		    struct line *ret_line)
{
	struct line line = {.text = text, .length = length, .taken = length};

	line.flags = object_flags(text, length);
	if (line.flags && scrub_find(scrubber, text, length, 0)) {
		scrub_widen_numbers(scrubber);
		write_hidden(scrubber, true, &line);
		line.flags = object_flags(line.text, line.length);
	}
	*ret_line = line;
	return line.flags != 0;
}

void line_as_text(struct scrubber *scrubber, const char *text, uint32_t length, uint32_t fit,
		  struct line_carry carry, struct line *ret_line)
{
	struct line line = {.text = text, .length = fit, .taken = fit};
	size_t seen = MIN(length, fit + SCRUB_AHEAD);

	if (scrub_find(scrubber, text, seen, carry.n_hidden)) {
		line.taken = (uint32_t)scrub_cut(scrubber, fit);
		line.carry = carry;
		write_hidden(scrubber, false, &line);
		line.carry.n_hidden = (uint32_t)scrub_hidden_behind(scrubber, line.taken);
	} else {
		line.length = line.taken = (uint32_t)scrub_cut(scrubber, fit);
	}
	*ret_line = line;
}
