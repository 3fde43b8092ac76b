#pragma once
/*
 * JSON from a service, strictly: one value and nothing behind it, valid UTF-8, no \u0000 (which
 * would cut a value), no name twice in one object (parsers differ in which they take), numbers as
 * the text they are (a double has 53 bits). cJSON builds the trees that providers walk; the values
 * that somebody selects are taken from the text.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "lib/str.h"

#define DECODE_DEPTH_MAX 64

/* A value as it stands in the text. */
struct decode_span {
	const char *text; /* borrowed; its first byte says what it is: { [ " t f n - or a digit */
	size_t length;
};

/* Wiped memory for cJSON, once before all else. */
void decode_init(void);

/* Whether the text is one JSON value as above. A sentence in why (may be NULL) when not; it has
 * nothing of the text in it. */
bool decode_check(const char *text, size_t length, struct strbuf *why);

/* The tree of such a text, or NULL with a sentence in why. cJSON_Delete frees (and wipes) it. */
cJSON *decode_parse(const char *text, size_t length, struct strbuf *why);

static inline const cJSON *decode_first(const cJSON *list)
{
	return list ? list->child : NULL;
}

/* Walks an array's elements or an object's members; list may be NULL. */
#define decode_each(element, list) \
	for ((element) = decode_first(list); (element); (element) = (element)->next)

/* Members of an object, by exact name; NULL (and false) when it is not there or something else. */
const cJSON *decode_member(const cJSON *object, const char *name);
const char *decode_string(const cJSON *object, const char *name);
bool decode_integer(const cJSON *object, const char *name, int64_t *ret_value);
bool decode_bool(const cJSON *object, const char *name);

/* What stands under these names (NULL-ended) in a text that decode_check liked. */
bool decode_find(const char *text, size_t length, const char *const *path,
		 struct decode_span *ret_span);
/* The next member of an object's span: start with cursor 0. name is to be freed by secmem_free. */
bool decode_next(const struct decode_span *object, size_t *cursor, char **ret_name,
		 struct decode_span *ret_value);
/* What a span is for a service: a string without its quotes and escapes, all else as it stands.
 * Memory for secmem_free, NUL-ended; NULL when there is none. */
char *decode_text(const struct decode_span *span, size_t *ret_length);

/* Base64 (RFC 4648, with padding) of length bytes. secmem memory or NULL when it is none. */
char *decode_base64(const char *text, size_t length, size_t *ret_length);

/* The content of the first <name>…</name> of an XML reply, when it is plain text: entities &amp;
 * &lt; &gt; &quot; &apos; and &#N; are resolved. False when it is not there, has elements in it, or
 * does not fit. */
bool decode_xml(const char *text, size_t length, const char *name, char *to, size_t size);

/* 2026-01-02T03:04:05Z, as credentials' Expiration has it: Unix seconds, or 0. */
int64_t decode_time(const char *text);
