#include "lib/json.h"

#include <string.h>

#include "lib/clock.h"

size_t json_utf8_length(const unsigned char *data, size_t length)
{
	static const struct {
		unsigned char first_min, first_max, second_min, second_max;
		size_t length;
	} forms[] = {
		{0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
		{0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3},
		{0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
		{0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		size_t n = forms[i].length;
		if (data[0] < forms[i].first_min || data[0] > forms[i].first_max)
			continue;
		if (n > length || data[1] < forms[i].second_min || data[1] > forms[i].second_max)
			return 0;
		for (size_t k = 2; k < n; k++) {
			if (data[k] < 0x80 || data[k] > 0xBF)
				return 0;
		}
		return n;
	}
	return 0;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static void add_escaped(struct strbuf *buf, unsigned char c)
{
	static const char *const shorts[] = {
		['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n",	 ['\f'] = "\\f",
		['\r'] = "\\r", ['"'] = "\\\"", ['\\'] = "\\\\",
	};

	if (c < sizeof(shorts) / sizeof(shorts[0]) && shorts[c])
		strbuf_adds(buf, shorts[c]);
	else
		strbuf_addf(buf, "\\u%04x", c);
}

void json_bytes(struct strbuf *buf, const char *data, size_t length)
{
	const unsigned char *at = (const unsigned char *)data;
	const unsigned char *end = at + length;

	strbuf_addc(buf, '"');
	while (at < end) {
		const unsigned char *run = at;
		while (run < end && is_plain(*run))
			run++;
		strbuf_add(buf, at, (size_t)(run - at));
		at = run;
		if (at == end)
			break;
		if (*at < 0x80) {
			add_escaped(buf, *at++);
			continue;
		}
		size_t n = json_utf8_length(at, (size_t)(end - at));
		if (n == 0) {
			strbuf_adds(buf, "\xEF\xBF\xBD");
			at++;
		} else {
			strbuf_add(buf, at, n);
			at += n;
		}
	}
	strbuf_addc(buf, '"');
}

void json_printable(struct strbuf *buf, const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *)text;
	const unsigned char *end = at + length;

	while (at < end) {
		size_t n = *at < 0x80 ? 1 : json_utf8_length(at, (size_t)(end - at));
		/* U+0080 to U+009F are control characters too. */
		bool is_control =
			*at < 0x20 || *at == 0x7F || (n == 2 && at[0] == 0xC2 && at[1] < 0xA0);
		if (n == 0 || is_control)
			strbuf_addc(buf, '?');
		else
			strbuf_add(buf, at, n);
		at += n > 0 ? n : 1;
	}
}

void json_string(struct strbuf *buf, const char *text)
{
	json_bytes(buf, text, strlen(text));
}

void json_comma(struct strbuf *buf)
{
	if (buf->length == 0)
		return;
	char last = buf->data[buf->length - 1];
	if (last != '{' && last != '[' && last != ':')
		strbuf_addc(buf, ',');
}

void json_object_begin(struct strbuf *buf)
{
	strbuf_addc(buf, '{');
}

void json_object_end(struct strbuf *buf)
{
	strbuf_addc(buf, '}');
}

void json_array_begin(struct strbuf *buf)
{
	strbuf_addc(buf, '[');
}

void json_array_end(struct strbuf *buf)
{
	strbuf_addc(buf, ']');
}

void json_key(struct strbuf *buf, const char *key)
{
	json_comma(buf);
	json_string(buf, key);
	strbuf_addc(buf, ':');
}

void json_add_string(struct strbuf *buf, const char *key, const char *value)
{
	json_key(buf, key);
	json_string(buf, value);
}

void json_add_u64(struct strbuf *buf, const char *key, uint64_t value)
{
	json_key(buf, key);
	strbuf_addf(buf, "%llu", (unsigned long long)value);
}

void json_add_i64(struct strbuf *buf, const char *key, int64_t value)
{
	json_key(buf, key);
	strbuf_addf(buf, "%lld", (long long)value);
}

void json_add_bool(struct strbuf *buf, const char *key, bool value)
{
	json_key(buf, key);
	strbuf_adds(buf, value ? "true" : "false");
}

void json_add_time(struct strbuf *buf, const char *key, uint64_t wall_us)
{
	json_key(buf, key);
	strbuf_addc(buf, '"');
	clock_format(buf, wall_us);
	strbuf_addc(buf, '"');
}
