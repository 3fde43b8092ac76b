#include "secrets/certificate.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END   "-----END CERTIFICATE-----"

enum tag {
	TAG_INTEGER = 0x02,
	TAG_UTC_TIME = 0x17,	     /* YYMMDDHHMMSSZ */
	TAG_GENERALIZED_TIME = 0x18, /* YYYYMMDDHHMMSSZ */
	TAG_SEQUENCE = 0x30,
	TAG_VERSION = 0xa0, /* [0], which a certificate of version 1 has not */
};

/* Text of a block that is yet to be decoded, and how many bytes have come out of it. */
struct reader {
	const char *at, *end;
	uint32_t bits;
	unsigned n_bits;
	size_t position;
};

/* ---- PEM */

static int digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void skip_space(struct reader *reader)
{
	while (reader->at < reader->end && memchr(" \t\r\n", *reader->at, 4))
		reader->at++;
}

/* The next byte, or -1 where the base64 ends. */
static int next_byte(struct reader *reader)
{
	while (reader->n_bits < 8) {
		skip_space(reader);
		int digit = reader->at < reader->end ? digit_of(*reader->at) : -1;
		if (digit < 0)
			return -1;
		reader->at++;
		reader->bits = (reader->bits & 0xff) << 6 | (uint32_t)digit;
		reader->n_bits += 6;
	}
	reader->n_bits -= 8;
	reader->position++;
	return (int)(reader->bits >> reader->n_bits & 0xff);
}

/* Whether the block ends here as it should: nothing behind the certificate but the padding. */
static bool is_at_end(struct reader *reader)
{
	if (next_byte(reader) >= 0)
		return false;
	for (int i = 0; i < 2 && reader->at < reader->end && *reader->at == '='; i++) {
		reader->at++;
		skip_space(reader);
	}
	return (size_t)(reader->end - reader->at) >= strlen(END) &&
	       memcmp(reader->at, END, strlen(END)) == 0;
}

/* ---- DER */

/* The length of an element, in as few bytes as it takes. */
static bool read_length(struct reader *reader, size_t *ret_length)
{
	int first = next_byte(reader), n = first - 0x80;
	size_t length = 0;

	if (first < 0x80) {
		*ret_length = (size_t)first;
		return first >= 0;
	}
	if (n < 1 || n > 4)
		return false;
	for (int i = 0; i < n; i++) {
		int byte = next_byte(reader);
		if (byte < 0 || (i == 0 && byte == 0))
			return false;
		length = length << 8 | (size_t)byte;
	}
	*ret_length = length;
	return length >= 0x80;
}

/* The head of the next element, which lies within what ends at outer, and where it ends. */
static bool open_any(struct reader *reader, size_t outer, int *ret_tag, size_t *ret_end)
{
	size_t length;

	*ret_tag = next_byte(reader);
	if (*ret_tag < 0 || !read_length(reader, &length) || reader->position > outer ||
	    length > outer - reader->position)
		return false;
	*ret_end = reader->position + length;
	return true;
}

static bool open_element(struct reader *reader, size_t outer, enum tag tag, size_t *ret_end)
{
	int found;

	return open_any(reader, outer, &found, ret_end) && found == (int)tag;
}

static bool skip_to(struct reader *reader, size_t end)
{
	while (reader->position < end) {
		if (next_byte(reader) < 0)
			return false;
	}
	return true;
}

static bool skip_element(struct reader *reader, size_t outer, enum tag tag)
{
	size_t end;

	return open_element(reader, outer, tag, &end) && skip_to(reader, end);
}

/* ---- a time */

static bool read_number(struct reader *reader, int n_digits, int *ret_number)
{
	*ret_number = 0;
	for (int i = 0; i < n_digits; i++) {
		int byte = next_byte(reader);
		if (byte < '0' || byte > '9')
			return false;
		*ret_number = *ret_number * 10 + byte - '0';
	}
	return true;
}

/* The 31st of February would come out as one of March. */
static bool to_seconds(const struct tm *tm, int64_t *ret_seconds)
{
	struct tm there = *tm;

	*ret_seconds = timegm(&there);
	return there.tm_mday == tm->tm_mday && there.tm_mon == tm->tm_mon &&
	       there.tm_hour == tm->tm_hour && there.tm_min == tm->tm_min &&
	       there.tm_sec == tm->tm_sec;
}

static bool read_time(struct reader *reader, size_t outer, int64_t *ret_seconds)
{
	struct tm tm = {0};
	size_t end;
	int tag;

	if (!open_any(reader, outer, &tag, &end) ||
	    (tag != TAG_UTC_TIME && tag != TAG_GENERALIZED_TIME) ||
	    !read_number(reader, tag == TAG_UTC_TIME ? 2 : 4, &tm.tm_year) ||
	    !read_number(reader, 2, &tm.tm_mon) || !read_number(reader, 2, &tm.tm_mday) ||
	    !read_number(reader, 2, &tm.tm_hour) || !read_number(reader, 2, &tm.tm_min) ||
	    !read_number(reader, 2, &tm.tm_sec) || next_byte(reader) != 'Z' ||
	    reader->position != end)
		return false;
	if (tag == TAG_UTC_TIME)
		tm.tm_year += tm.tm_year < 50 ? 100 : 0;
	else
		tm.tm_year -= 1900;
	tm.tm_mon--;
	return to_seconds(&tm, ret_seconds);
}

/* ---- a certificate */

static bool skip_version(struct reader *reader, size_t outer)
{
	struct reader ahead = *reader;

	return next_byte(&ahead) != TAG_VERSION || skip_element(reader, outer, TAG_VERSION);
}

/* When the certificate behind BEGIN ends; false: it is none. */
static bool read_end(struct reader *reader, int64_t *ret_seconds)
{
	size_t whole, signed_part, validity;
	int64_t start;

	return open_element(reader, SIZE_MAX, TAG_SEQUENCE, &whole) &&
	       open_element(reader, whole, TAG_SEQUENCE, &signed_part) &&
	       skip_version(reader, signed_part) &&
	       skip_element(reader, signed_part, TAG_INTEGER) &&  /* its number */
	       skip_element(reader, signed_part, TAG_SEQUENCE) && /* how it is signed */
	       skip_element(reader, signed_part, TAG_SEQUENCE) && /* by whom */
	       open_element(reader, signed_part, TAG_SEQUENCE, &validity) &&
	       read_time(reader, validity, &start) && read_time(reader, validity, ret_seconds) &&
	       reader->position == validity && skip_to(reader, whole) && is_at_end(reader);
}

int64_t certificate_expiry(const char *value, size_t length)
{
	const char *at = value, *end = value + length;
	int64_t first = 0, seconds;

	while (at < end && (at = memmem(at, (size_t)(end - at), BEGIN, strlen(BEGIN)))) {
		struct reader reader = {.at = at + strlen(BEGIN), .end = end};
		at += strlen(BEGIN);
		if (read_end(&reader, &seconds) && seconds > 0 && (first == 0 || seconds < first))
			first = seconds;
	}
	return first;
}
