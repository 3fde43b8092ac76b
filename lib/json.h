#pragma once
/*
 * Writing JSON (RFC 8259) into a strbuf, without allocation. It only writes: whoever must read
 * JSON links cJSON. Bytes that are not UTF-8 come out as U+FFFD, so that every line that holdfast
 * writes is valid whatever a service printed.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/str.h"

/* "text", quoted and escaped. */
void json_string(struct strbuf *buf, const char *text);
void json_bytes(struct strbuf *buf, const char *data, size_t length);
/* The same text for a terminal: control characters and what is not UTF-8 come out as '?'. */
void json_printable(struct strbuf *buf, const char *text, size_t length);

/* The length of the well-formed UTF-8 sequence of two to four bytes at data (RFC 3629), or 0. */
size_t json_utf8_length(const unsigned char *data, size_t length);

/*
 * An object's members, with the commas: json_object_begin, then json_add_x for each key, then
 * json_object_end. The comma is derived from the last byte written, so there is no state to keep.
 */
void json_object_begin(struct strbuf *buf);
void json_object_end(struct strbuf *buf);
void json_array_begin(struct strbuf *buf);
void json_array_end(struct strbuf *buf);
void json_key(struct strbuf *buf, const char *key);
/* The comma before an array's next element, where one is due. */
void json_comma(struct strbuf *buf);
void json_add_string(struct strbuf *buf, const char *key, const char *value);
void json_add_u64(struct strbuf *buf, const char *key, uint64_t value);
void json_add_i64(struct strbuf *buf, const char *key, int64_t value);
void json_add_bool(struct strbuf *buf, const char *key, bool value);
void json_add_time(struct strbuf *buf, const char *key, uint64_t wall_us);
