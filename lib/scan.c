#include "lib/scan.h"

#include <stdint.h>
#include <string.h>

#include "lib/json.h"

struct scan {
	const unsigned char *at, *end;
	scan_visit *visit;
	void *context;
};

static bool scan_value(struct scan *s, unsigned depth);

static void skip_space(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r'))
		s->at++;
}

static bool take(struct scan *s, unsigned char c)
{
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* The four digits behind \u. -1: malformed. */
static int32_t hex_unit(const unsigned char *at, const unsigned char *end)
{
	int32_t unit = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(at[i]);
		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

/* A high surrogate must be followed by a low one: half a pair is refused by many readers. */
static bool take_unicode_escape(struct scan *s)
{
	int32_t unit = hex_unit(s->at, s->end);

	if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
		return false;
	s->at += 4;
	if (unit < 0xD800 || unit > 0xDBFF)
		return true;
	if (!take(s, '\\') || !take(s, 'u'))
		return false;
	unit = hex_unit(s->at, s->end);
	if (unit < 0xDC00 || unit > 0xDFFF)
		return false;
	s->at += 4;
	return true;
}

static bool take_escape(struct scan *s)
{
	if (take(s, 'u'))
		return take_unicode_escape(s);
	if (s->at == s->end || *s->at == '\0' || !strchr("\"\\/bfnrt", *s->at))
		return false;
	s->at++;
	return true;
}

static bool scan_string(struct scan *s)
{
	if (!take(s, '"'))
		return false;
	while (s->at < s->end) {
		unsigned char c = *s->at;
		if (c >= 0x80) {
			size_t n = json_utf8_length(s->at, (size_t)(s->end - s->at));
			if (n == 0)
				return false;
			s->at += n;
			continue;
		}
		if (c < 0x20)
			return false;
		s->at++;
		if (c == '"')
			return true;
		if (c == '\\' && !take_escape(s))
			return false;
	}
	return false;
}

static bool take_digits(struct scan *s)
{
	const unsigned char *start = s->at;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > start;
}

static bool scan_number(struct scan *s)
{
	(void)take(s, '-');
	if (!take(s, '0') && !take_digits(s))
		return false;
	if (take(s, '.') && !take_digits(s))
		return false;
	if (take(s, 'e') || take(s, 'E')) {
		if (!take(s, '+'))
			(void)take(s, '-');
		return take_digits(s);
	}
	return true;
}

static bool scan_word(struct scan *s)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(s->end - s->at) >= n && memcmp(s->at, words[i], n) == 0) {
			s->at += n;
			return true;
		}
	}
	return false;
}

static struct scan_span span(const unsigned char *from, const unsigned char *to)
{
	return (struct scan_span){.data = (const char *)from, .length = (size_t)(to - from)};
}

static bool scan_member(struct scan *s, unsigned depth)
{
	const unsigned char *key = s->at;

	if (!scan_string(s))
		return false;
	const unsigned char *key_end = s->at;
	skip_space(s);
	if (!take(s, ':'))
		return false;
	skip_space(s);
	const unsigned char *value = s->at;
	if (!scan_value(s, depth))
		return false;
	if (depth == 1 && s->visit)
		s->visit(s->context, span(key + 1, key_end - 1), span(value, s->at));
	return true;
}

/* The inside of an object or an array, and its closing bracket. */
static bool scan_items(struct scan *s, unsigned depth, unsigned char close,
		       bool (*scan_item)(struct scan *, unsigned))
{
	if (depth > SCAN_DEPTH_MAX)
		return false;
	skip_space(s);
	if (take(s, close))
		return true;
	for (;;) {
		skip_space(s);
		if (!scan_item(s, depth))
			return false;
		skip_space(s);
		if (take(s, close))
			return true;
		if (!take(s, ','))
			return false;
	}
}

static bool scan_value(struct scan *s, unsigned depth)
{
	if (take(s, '{'))
		return scan_items(s, depth + 1, '}', scan_member);
	if (take(s, '['))
		return scan_items(s, depth + 1, ']', scan_value);
	if (s->at < s->end && *s->at == '"')
		return scan_string(s);
	return scan_word(s) || scan_number(s);
}

bool scan_object(const char *text, size_t length, scan_visit *visit, void *context,
		 struct scan_span *ret_object)
{
	const unsigned char *start = (const unsigned char *)text;
	struct scan s = {.at = start, .end = start + length, .visit = visit, .context = context};

	skip_space(&s);
	start = s.at;
	if (s.at == s.end || *s.at != '{' || !scan_value(&s, 0))
		return false;
	const unsigned char *end = s.at;
	skip_space(&s);
	if (s.at != s.end)
		return false;
	*ret_object = span(start, end);
	return true;
}

bool scan_string_is(struct scan_span string, const char *word)
{
	const unsigned char *at = (const unsigned char *)string.data;
	const unsigned char *end = at + string.length;

	for (; *word; word++) {
		if (at == end)
			return false;
		int32_t c = *at++;
		if (c == '\\' && at < end && *at == 'u') {
			c = hex_unit(at + 1, end);
			at += 5;
		}
		if (c != *word)
			return false;
	}
	return at == end;
}
