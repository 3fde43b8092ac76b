#include "log/split.h"

#include "lib/json.h"

#define ESCAPE_MAX  6 /* \u001f */
#define REPLACEMENT 3 /* U+FFFD in UTF-8 */

/* How much one ASCII byte takes up; lib/json.c's rules. */
static size_t ascii_cost(unsigned char c)
{
	if (c == '"' || c == '\\' || (c >= '\b' && c <= '\r' && c != '\v'))
		return 2;
	return c < 0x20 || c == 0x7F ? ESCAPE_MAX : 1;
}

/* Whether nothing but the end of the text keeps these bytes from being a character. */
static bool is_incomplete(const unsigned char *at, size_t left)
{
	if (at[0] < 0xC2 || at[0] > 0xF4 || left > 3)
		return false;
	size_t wanted = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
	for (size_t i = 1; i < left; i++) {
		if ((at[i] & 0xC0) != 0x80)
			return false;
	}
	return left < wanted;
}

size_t split_fit(const char *text, size_t length, bool is_open)
{
	const unsigned char *start = (const unsigned char *)text, *at = start;
	const unsigned char *end = start + length;
	size_t budget = SPLIT_TEXT_MAX;

	if (length <= SPLIT_TEXT_MAX / ESCAPE_MAX)
		return length;
	while (at < end) {
		size_t left = (size_t)(end - at), n = 1, cost;
		if (*at < 0x80) {
			cost = ascii_cost(*at);
		} else if ((n = json_utf8_length(at, left)) > 0) {
			cost = n;
		} else {
			n = is_open && is_incomplete(at, left) ? left : 1;
			cost = n * REPLACEMENT;
		}
		if (cost > budget)
			break;
		budget -= cost;
		at += n;
	}
	return (size_t)(at - start);
}

bool split_may_be_object(const char *text, size_t length)
{
	size_t i = 0;

	while (i < length && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r'))
		i++;
	return i < length && text[i] == '{';
}
