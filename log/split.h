#pragma once
/*
 * Where a line that is too long is cut: Docker and containerd split what is longer than 16 KiB
 * wherever they stand, so every line that holdfast writes is shorter, envelope and escapes
 * included.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/ring.h"

/* The most that the text of one line may take up inside its JSON string; the rest of the 16 KiB is
 * for the envelope (a unit's name of 255 bytes, escaped, and eight numbers). */
#define SPLIT_TEXT_MAX 15360

_Static_assert(SPLIT_TEXT_MAX <= RING_LINE_MAX, "a cut line fits the ring");

/*
 * The length of the longest start of text that takes up at most SPLIT_TEXT_MAX bytes as a JSON
 * string and ends between characters. Where the line may go on behind text (is_open), an incomplete
 * character at its end counts as one that nothing may cut.
 */
size_t split_fit(const char *text, size_t length, bool is_open);

/* Whether text starts as an object would: such a line is gathered by its length alone, since it is
 * not escaped if it turns out to be one. */
bool split_may_be_object(const char *text, size_t length);
