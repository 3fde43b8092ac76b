#pragma once
/*
 * The part of HTTP/1.1 (RFC 9112) that a health endpoint needs: one request head, parsed strictly
 * and without copying. Nothing but the request line and four header fields is looked at; every
 * other field must still be well-formed, so that no proxy in front can read the bytes differently
 * than we do.
 */
#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAX	    8192 /* of the whole head: longer is 431 */
#define HTTP_LINE_MAX	    4096 /* of the request line: longer is 414 */
#define HTTP_HEADERS_MAX    64	 /* more are 431 */
#define HTTP_PARAMETERS_MAX 32	 /* of the query: what comes behind them is not looked at */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

/* All pointers go into the parsed bytes. */
struct http_request {
	enum http_method method;
	const char *path; /* of the target, without its query, as sent */
	size_t path_length;
	const char *query; /* behind the '?'; length 0: none */
	size_t query_length;
	bool keep_alive; /* what the client asked for, or its version implies */
	bool has_body;	 /* one was announced: the connection cannot be used any further */
};

/*
 * Parses the head at the start of data. Its length when it is whole; 0 when more bytes are needed;
 * or -status of the answer (400, 414, 431, 505), then *ret_reason says what was expected. length
 * is at most HTTP_HEAD_MAX, and a head that does not end there is too long.
 */
int http_parse(const char *data, size_t length, struct http_request *ret_request,
	       const char **ret_reason);

/* Whether the query has a parameter of that name, with or without a value. */
bool http_query_has(const struct http_request *request, const char *name);
/* Whether it has name=value, the value percent-decoded. */
bool http_query_is(const struct http_request *request, const char *name, const char *value);

bool http_path_is(const struct http_request *request, const char *path);
