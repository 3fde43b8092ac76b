#pragma once
/*
 * What a line of a service becomes on its way into the ring: the values of secrets are hidden, and
 * then it is looked at whether it is one JSON object. In this order, so that what the record says of
 * its text is true of the text that is there.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/scrub.h"

/* What a part of a long line says about the start of the next. */
struct line_carry {
	uint32_t n_hidden;  /* so many bytes belong to a value that began before */
	uint32_t is_marked; /* it ended with a mark */
};

struct line {
	const char *text; /* the line itself, or a buffer that holds until the next call */
	uint32_t length;
	uint32_t taken; /* the bytes of the line that it stands for */
	uint32_t flags; /* RING_IS_JSON, RING_HAS_KEY */
	uint32_t n_hidden;
	struct line_carry carry;
};

/* The whole line as an object. False when it is none, or none that has room for our envelope, or
 * what had to be hidden has left none. length <= SPLIT_TEXT_MAX. */
bool line_as_object(struct scrubber *scrubber, const char *text, uint32_t length,
		    struct line *ret_line);

/* The first fit bytes of the text, or a little less where it must be cut elsewhere. Behind them the
 * text goes on for at least SCRUB_AHEAD bytes, or it is complete. fit <= SPLIT_TEXT_MAX. */
void line_as_text(struct scrubber *scrubber, const char *text, uint32_t length, uint32_t fit,
		  struct line_carry carry, struct line *ret_line);
