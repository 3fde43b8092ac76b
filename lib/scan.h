#pragma once
/*
 * Whether a line is exactly one JSON object (RFC 8259), so that keys may be put beside its own and
 * the result is valid whatever a service printed, and so that it may be copied into another line of
 * JSON as it is. Strict: UTF-8 well formed, escapes and surrogate pairs whole, no control characters,
 * no line feed anywhere, nothing but white space around it. It looks and copies nothing, and gives up
 * on what is nested deeper than SCAN_DEPTH_MAX.
 */
#include <stdbool.h>
#include <stddef.h>

#define SCAN_DEPTH_MAX 32

/* A piece of the text that was scanned. */
struct scan_span {
	const char *data;
	size_t length;
};

/* Called for each member of the outermost object: key without its quotes, value with them. */
typedef void scan_visit(void *context, struct scan_span key, struct scan_span value);

/* True when it is one. *ret_object is the object without the white space around it. visit may be
 * NULL; it may have been called when the result is false. */
bool scan_object(const char *text, size_t length, scan_visit *visit, void *context,
		 struct scan_span *ret_object);

/* Whether the inside of a JSON string, escapes resolved, is the ASCII word. */
bool scan_string_is(struct scan_span string, const char *word);
