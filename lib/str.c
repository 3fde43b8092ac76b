#include "lib/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/cleanup.h"

void strbuf_init(struct strbuf *buf, char *data, size_t size)
{
	*buf = (struct strbuf){.data = data, .size = size};
	if (size > 0)
		data[0] = '\0';
}

void strbuf_reset(struct strbuf *buf)
{
	strbuf_init(buf, buf->data, buf->size);
}

void strbuf_add(struct strbuf *buf, const void *data, size_t length)
{
	size_t room = buf->size > buf->length ? buf->size - buf->length - 1 : 0;

	if (length > room) {
		buf->is_cut = true;
		length = room;
	}
	if (length == 0)
		return;
	memcpy(buf->data + buf->length, data, length);
	buf->length += length;
	buf->data[buf->length] = '\0';
}

void strbuf_adds(struct strbuf *buf, const char *text)
{
	strbuf_add(buf, text, strlen(text));
}

void strbuf_addc(struct strbuf *buf, char c)
{
	strbuf_add(buf, &c, 1);
}

void strbuf_vaddf(struct strbuf *buf, const char *format, va_list args)
{
	size_t room = buf->size - buf->length;
	int n = vsnprintf(buf->data + buf->length, room, format, args);

	if (n < 0)
		return;
	if ((size_t)n >= room) {
		buf->is_cut = true;
		buf->length = buf->size > 0 ? buf->size - 1 : 0;
		return;
	}
	buf->length += (size_t)n;
}

void strbuf_addf(struct strbuf *buf, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	strbuf_vaddf(buf, format, args);
	va_end(args);
}

int str_parse_u64(const char *text, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		uint64_t digit = (uint64_t)(*text - '0');
		if (value > (UINT64_MAX - digit) / 10)
			return -ERANGE;
		value = value * 10 + digit;
	}
	if (value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

int str_parse_bool(const char *text, bool *ret_value)
{
	static const char *const yes[] = {"1", "yes", "y", "true", "t", "on"};
	static const char *const no[] = {"0", "no", "n", "false", "f", "off"};

	for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*ret_value = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

bool str_equal(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
	size_t a = strlen(text), b = strlen(suffix);

	return a >= b && memcmp(text + a - b, suffix, b) == 0;
}

bool str_is_one_of(const char *text, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (str_equal(text, list[i]))
			return true;
	}
	return false;
}

const char *str_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool str_copy(char *to, size_t size, const char *from)
{
	struct strbuf buf;

	strbuf_init(&buf, to, size);
	strbuf_adds(&buf, from);
	return !buf.is_cut;
}
