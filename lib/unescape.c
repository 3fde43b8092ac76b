#include "lib/unescape.h"

#include <string.h>

const char unescape_introducers[UNESCAPE_KIND_COUNT] = {
	[UNESCAPE_BACKSLASH] = '\\',
	[UNESCAPE_PERCENT] = '%',
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* So many digits, which the text has. -1: they are none. */
static int32_t hex_number(const char *text, size_t length, size_t digits)
{
	int32_t number = 0;

	if (length < digits)
		return -1;
	for (size_t i = 0; i < digits; i++) {
		int digit = hex_digit(text[i]);
		if (digit < 0)
			return -1;
		number = number * 16 + digit;
	}
	return number;
}

static size_t put_utf8(int32_t c, char *bytes)
{
	if (c < 0x80) {
		bytes[0] = (char)c;
		return 1;
	}
	size_t count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
	for (size_t i = count - 1; i > 0; i--, c >>= 6)
		bytes[i] = (char)(0x80 | (c & 0x3F));
	bytes[0] = (char)(leads[count] | c);
	return count;
}

/* \uXXXX, or two of them that are a pair. */
static size_t take_unicode(const char *text, size_t length, char *bytes, size_t *ret_count)
{
	int32_t c = hex_number(text + 2, length - 2, 4), low = -1;
	size_t width = 6;

	if (c < 0)
		return 0;
	if (c >= 0xD800 && c <= 0xDBFF && length >= 8 && text[6] == '\\' && text[7] == 'u')
		low = hex_number(text + 8, length - 8, 4);
	if (low >= 0xDC00 && low <= 0xDFFF) {
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
		width = 12;
	}
	*ret_count = put_utf8(c, bytes);
	return width;
}

static size_t take_byte(const char *digits, size_t length, char *bytes, size_t *ret_count)
{
	int32_t c = hex_number(digits, length, 2);

	if (c < 0)
		return 0;
	bytes[0] = (char)c;
	*ret_count = 1;
	return 2;
}

static size_t take_backslash(const char *text, size_t length, char *bytes, size_t *ret_count)
{
	static const char names[] = "\"\\/'bfnrt", values[] = "\"\\/'\b\f\n\r\t";

	if (length < 2 || text[1] == '\0')
		return 0;
	if (text[1] == 'u')
		return take_unicode(text, length, bytes, ret_count);
	if (text[1] == 'x') {
		size_t width = take_byte(text + 2, length - 2, bytes, ret_count);
		return width ? width + 2 : 0;
	}
	const char *name = strchr(names, text[1]);
	if (!name)
		return 0;
	bytes[0] = values[name - names];
	*ret_count = 1;
	return 2;
}

static size_t take_percent(const char *text, size_t length, char *bytes, size_t *ret_count)
{
	size_t width = take_byte(text + 1, length - 1, bytes, ret_count);

	return width ? width + 1 : 0;
}

size_t unescape_one(enum unescape_kind kind, const char *text, size_t length, char *bytes,
		    size_t *ret_count)
{
	static size_t (*const takers[UNESCAPE_KIND_COUNT])(const char *, size_t, char *,
							   size_t *) = {
		[UNESCAPE_BACKSLASH] = take_backslash,
		[UNESCAPE_PERCENT] = take_percent,
	};
	char unwanted[UNESCAPE_BYTES_MAX];

	if (text[0] != unescape_introducers[kind])
		return 0;
	return takers[kind](text, length, bytes ? bytes : unwanted, ret_count);
}

static void add(struct unescaped *result, const char *data, size_t length)
{
	memcpy(result->data + result->length, data, length);
	result->length += length;
}

bool unescape(enum unescape_kind kind, const char *text, size_t length, struct unescaped *result)
{
	size_t at = 0;

	result->length = 0;
	result->n_marks = 0;
	for (;;) {
		const char *next = memchr(text + at, unescape_introducers[kind], length - at);
		if (!next)
			break;
		size_t source = (size_t)(next - text), count = 1;
		add(result, text + at, source - at);
		size_t width = unescape_one(kind, next, length - source,
					    result->data + result->length, &count);
		at = source + (width ? width : 1);
		if (!width) {
			add(result, next, 1);
			continue;
		}
		result->marks[result->n_marks++] =
			(struct unescape_mark){.at = (uint16_t)result->length,
					       .source = (uint16_t)source,
					       .count = (uint8_t)count,
					       .width = (uint8_t)width};
		result->length += count;
	}
	add(result, text + at, length - at);
	return result->n_marks > 0;
}

/* The last mark that begins at or before the byte, or NULL. */
static const struct unescape_mark *mark_before(const struct unescaped *result, size_t at)
{
	size_t low = 0, high = result->n_marks;

	while (low < high) {
		size_t middle = (low + high) / 2;
		if (result->marks[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 ? &result->marks[low - 1] : NULL;
}

/* Where what the byte came from begins in the source, and where it ends. */
static void locate(const struct unescaped *result, size_t at, size_t *ret_start, size_t *ret_end)
{
	const struct unescape_mark *mark = mark_before(result, at);

	*ret_start = at;
	if (mark && at < (size_t)mark->at + mark->count) {
		*ret_start = mark->source;
		*ret_end = (size_t)mark->source + mark->width;
		return;
	}
	if (mark)
		*ret_start = (size_t)mark->source + mark->width + (at - mark->at - mark->count);
	*ret_end = *ret_start + 1;
}

void unescape_locate(const struct unescaped *result, size_t *start, size_t *end)
{
	size_t ignored;

	locate(result, *end - 1, &ignored, end);
	locate(result, *start, start, &ignored);
}
