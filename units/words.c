#include "units/words.h"

#include <stdint.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* count digits of base at text: the number, or UINT32_MAX. */
static uint32_t read_digits(const char *text, size_t count, uint32_t base)
{
	uint32_t value = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t digit = (uint32_t)digit_value(text[i]);
		if (digit >= base)
			return UINT32_MAX;
		value = value * base + digit;
	}
	return value;
}

static void add_utf8(struct text *text, uint32_t c)
{
	if (c < 0x80) {
		text_addc(text, (char)c);
	} else if (c < 0x800) {
		text_addc(text, (char)(0xc0 | c >> 6));
		text_addc(text, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		text_addc(text, (char)(0xe0 | c >> 12));
		text_addc(text, (char)(0x80 | (c >> 6 & 0x3f)));
		text_addc(text, (char)(0x80 | (c & 0x3f)));
	} else {
		text_addc(text, (char)(0xf0 | c >> 18));
		text_addc(text, (char)(0x80 | (c >> 12 & 0x3f)));
		text_addc(text, (char)(0x80 | (c >> 6 & 0x3f)));
		text_addc(text, (char)(0x80 | (c & 0x3f)));
	}
}

static const struct escape {
	char letter;
	char byte; /* what it stands for, or 0: a number follows */
	uint8_t digits, base;
	bool is_unicode;
} escapes[] = {
	{'a', '\a', 0, 0, false},  {'b', '\b', 0, 0, false},  {'f', '\f', 0, 0, false},
	{'n', '\n', 0, 0, false},  {'r', '\r', 0, 0, false},  {'t', '\t', 0, 0, false},
	{'v', '\v', 0, 0, false},  {'\\', '\\', 0, 0, false}, {'"', '"', 0, 0, false},
	{'\'', '\'', 0, 0, false}, {'s', ' ', 0, 0, false},   {'x', 0, 2, 16, false},
	{'u', 0, 4, 16, true},	   {'U', 0, 8, 16, true},
};

/*
 * What stands behind a backslash. Bytes 1 to 6 are refused: the plan has a use for them that text
 * must not be able to claim (lib/plan.h).
 */
static const char *read_escape(const char **at, struct text *word)
{
	struct escape escape = {.digits = 3, .base = 8};
	const char *digits = *at;

	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		if (escapes[i].letter != **at)
			continue;
		escape = escapes[i];
		digits = *at + 1;
	}
	if (escape.byte) {
		text_addc(word, escape.byte);
		*at += 1;
		return NULL;
	}
	uint32_t value = read_digits(digits, escape.digits, escape.base);
	if (value == UINT32_MAX && digits == *at)
		return "expected one of \\a \\b \\f \\n \\r \\t \\v \\s \\\\ \\\" \\' \\xNN \\NNN "
		       "\\uNNNN \\UNNNNNNNN";
	if (value == UINT32_MAX)
		return "expected hexadecimal digits in the escape";
	if (value < 7 || (!escape.is_unicode && value > 0xff) || value > 0x10ffff ||
	    (escape.is_unicode && value >= 0xd800 && value <= 0xdfff))
		return "an escape for a byte or character that cannot stand here";
	if (escape.is_unicode)
		add_utf8(word, value);
	else
		text_addc(word, (char)value);
	*at = digits + escape.digits;
	return NULL;
}

static const char *read_backslash(const char **at, unsigned flags, struct text *word)
{
	if (!(flags & WORDS_UNESCAPE)) {
		/* Names of units hold escapes of their own (systemd-escape(1)). */
		text_addc(word, '\\');
		return NULL;
	}
	const char *message = **at ? read_escape(at, word) : "a backslash at the end of the value";
	if (message && flags & WORDS_RELAX) {
		text_addc(word, '\\');
		return NULL;
	}
	return message;
}

/* Up to the closing quote. */
static const char *read_quoted(const char **at, unsigned flags, struct text *word)
{
	const char *start = *at;
	char quote = *(*at)++;

	while (**at != quote) {
		if (**at == '\0') {
			if (flags & WORDS_RELAX)
				return NULL;
			*at = start;
			return "a quote that is never closed";
		}
		if (*(*at)++ != '\\') {
			text_addc(word, (*at)[-1]);
			continue;
		}
		const char *message = read_backslash(at, flags, word);
		if (message)
			return message;
	}
	(*at)++;
	return NULL;
}

static void skip_blanks(const char **at)
{
	while (is_blank(**at))
		(*at)++;
}

enum words_outcome words_next(struct arena *arena, const char **at, unsigned flags, char **ret_word)
{
	struct text word = {.arena = arena};

	skip_blanks(at);
	if (**at == '\0')
		return WORDS_END;
	while (**at && !is_blank(**at)) {
		const char *message = NULL;
		if (flags & WORDS_UNQUOTE && (**at == '"' || **at == '\''))
			message = read_quoted(at, flags, &word);
		else if (*(*at)++ == '\\')
			message = read_backslash(at, flags, &word);
		else
			text_addc(&word, (*at)[-1]);
		if (message) {
			*ret_word = arena_string(arena, message);
			return WORDS_BAD;
		}
	}
	skip_blanks(at);
	*ret_word = text_end(&word);
	return WORDS_FOUND;
}
