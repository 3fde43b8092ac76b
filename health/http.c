#include "health/http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "lib/cleanup.h"

/*
 * One pass over complete lines. A line ends with CR LF and with nothing else: parsers that also
 * take a bare LF, a NUL, a folded line or two lengths disagree with each other about where a
 * request ends, and that disagreement is what request smuggling lives on. So all of these are 400
 * here.
 *
 * A prefix of a head is 0 ("more") only while it can still become a valid one: the first bad byte
 * is refused when it comes, not when the head is whole.
 */

struct parser {
	const char *at, *end;
	struct http_request *request;
	const char *reason;
	unsigned minor; /* HTTP/1.x */
	unsigned n_headers, n_hosts, n_lengths, n_encodings;
	bool wants_close, wants_keep;
};

/* A run of bytes. */
struct span {
	const char *data;
	size_t length;
};

static int refuse(struct parser *parser, int status, const char *reason)
{
	parser->reason = reason;
	return -status;
}

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(struct span span)
{
	for (size_t i = 0; i < span.length; i++) {
		if (!is_token_char(span.data[i]))
			return false;
	}
	return span.length > 0;
}

static bool span_is(struct span span, const char *text)
{
	return span.length == strlen(text) && memcmp(span.data, text, span.length) == 0;
}

static bool span_is_nocase(struct span span, const char *text)
{
	return span.length == strlen(text) && strncasecmp(span.data, text, span.length) == 0;
}

/* What stands before c, which is then skipped with it; all of it when there is no c. */
static struct span span_cut(struct span *rest, char c)
{
	const char *found = rest->length ? memchr(rest->data, c, rest->length) : NULL;
	struct span head = *rest;

	if (!found) {
		rest->data += rest->length;
		rest->length = 0;
		return head;
	}
	head.length = (size_t)(found - rest->data);
	rest->data = found + 1;
	rest->length -= head.length + 1;
	return head;
}

static struct span span_trim(struct span span)
{
	while (span.length > 0 && (*span.data == ' ' || *span.data == '\t')) {
		span.data++;
		span.length--;
	}
	while (span.length > 0 &&
	       (span.data[span.length - 1] == ' ' || span.data[span.length - 1] == '\t'))
		span.length--;
	return span;
}

/* The next line without its CR LF: 1, or 0 when it is not whole, or -status. */
static int next_line(struct parser *parser, struct span *ret_line)
{
	for (const char *at = parser->at; at < parser->end; at++) {
		unsigned char c = (unsigned char)*at;
		if (c == '\r') {
			if (at + 1 == parser->end)
				return 0;
			if (at[1] != '\n')
				return refuse(parser, 400, "CR stands before LF alone");
			*ret_line = (struct span){parser->at, (size_t)(at - parser->at)};
			parser->at = at + 2;
			return 1;
		}
		if (c == '\n')
			return refuse(parser, 400, "a line ends with CR LF");
		if ((c < 0x20 && c != '\t') || c == 0x7F)
			return refuse(parser, 400, "control characters have no place in a head");
	}
	return 0;
}

static int parse_version(struct parser *parser, struct span version)
{
	const char *v = version.data;

	if (version.length != 8 || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' ||
	    v[6] != '.' || v[7] < '0' || v[7] > '9')
		return refuse(parser, 400, "METHOD SP TARGET SP HTTP/1.1 was expected");
	if (v[5] != '1')
		return refuse(parser, 505, "HTTP/1.0 and HTTP/1.1 are spoken here");
	parser->minor = (unsigned)(v[7] - '0');
	return 0;
}

/* origin-form; of the absolute form (RFC 9112, 3.2.2) the part from the path on. */
static int parse_target(struct parser *parser, struct span target)
{
	static const char scheme[] = "http://";
	struct http_request *request = parser->request;

	for (size_t i = 0; i < target.length; i++) {
		if (target.data[i] <= 0x20 || target.data[i] >= 0x7F || target.data[i] == '#')
			return refuse(parser, 400, "a target is visible ASCII without a fragment");
	}
	if (target.length > sizeof(scheme) - 1 &&
	    strncasecmp(target.data, scheme, sizeof(scheme) - 1) == 0) {
		struct span rest = {target.data + sizeof(scheme) - 1,
				    target.length - (sizeof(scheme) - 1)};
		size_t authority = 0;
		while (authority < rest.length && rest.data[authority] != '/' &&
		       rest.data[authority] != '?')
			authority++;
		target = (struct span){rest.data + authority, rest.length - authority};
		if (authority == 0)
			return refuse(parser, 400, "an absolute target names a host");
		if (target.length == 0)
			target = (struct span){"/", 1};
	} else if (request->method != HTTP_OTHER && (target.length == 0 || *target.data != '/')) {
		return refuse(parser, 400, "a target starts with /");
	}
	struct span path = span_cut(&target, '?');
	request->path = path.data;
	request->path_length = path.length;
	request->query = target.data;
	request->query_length = target.length;
	return 0;
}

static int parse_request_line(struct parser *parser, struct span line)
{
	struct span method = span_cut(&line, ' ');
	struct span target = span_cut(&line, ' ');

	if (!is_token(method) || target.length == 0)
		return refuse(parser, 400, "METHOD SP TARGET SP HTTP/1.1 was expected");
	parser->request->method = span_is(method, "GET")    ? HTTP_GET
				  : span_is(method, "HEAD") ? HTTP_HEAD
							    : HTTP_OTHER;
	int r = parse_version(parser, line);
	return r < 0 ? r : parse_target(parser, target);
}

static int on_host(struct parser *parser, struct span value)
{
	if (parser->n_hosts++ > 0)
		return refuse(parser, 400, "one Host was expected, not two");
	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];
		if (!is_token_char(c) && !strchr("[]:();,=", c))
			return refuse(parser, 400, "Host is a name or an address, and a port");
	}
	return 0;
}

static int on_content_length(struct parser *parser, struct span value)
{
	if (parser->n_lengths++ > 0)
		return refuse(parser, 400, "one Content-Length was expected, not two");
	if (value.length == 0 || value.length > 19)
		return refuse(parser, 400, "Content-Length is a number");
	for (size_t i = 0; i < value.length; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return refuse(parser, 400, "Content-Length is a number");
		if (value.data[i] != '0')
			parser->request->has_body = true;
	}
	return 0;
}

static int on_transfer_encoding(struct parser *parser, struct span value)
{
	(void)value;
	parser->n_encodings++;
	parser->request->has_body = true;
	return 0;
}

static int on_connection(struct parser *parser, struct span value)
{
	while (value.length > 0) {
		struct span option = span_trim(span_cut(&value, ','));
		parser->wants_close |= span_is_nocase(option, "close");
		parser->wants_keep |= span_is_nocase(option, "keep-alive");
	}
	return 0;
}

static int parse_header(struct parser *parser, struct span line)
{
	static const struct {
		const char *name;
		int (*handle)(struct parser *parser, struct span value);
	} fields[] = {
		{"host", on_host},
		{"content-length", on_content_length},
		{"transfer-encoding", on_transfer_encoding},
		{"connection", on_connection},
	};

	if (*line.data == ' ' || *line.data == '\t')
		return refuse(parser, 400, "a header line is not folded");
	if (!memchr(line.data, ':', line.length))
		return refuse(parser, 400, "NAME: VALUE was expected");
	struct span value = line;
	struct span name = span_cut(&value, ':');
	if (!is_token(name))
		return refuse(parser, 400, "a header's name is one word, right before its colon");
	if (parser->n_headers++ == HTTP_HEADERS_MAX)
		return refuse(parser, 431, "fewer headers were expected");
	value = span_trim(value);
	for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
		if (span_is_nocase(name, fields[i].name))
			return fields[i].handle(parser, value);
	}
	return 0;
}

static int parse_headers(struct parser *parser)
{
	struct span line;

	for (;;) {
		int r = next_line(parser, &line);
		if (r <= 0)
			return r;
		if (line.length == 0)
			return 1;
		r = parse_header(parser, line);
		if (r < 0)
			return r;
	}
}

/* What only the whole head tells. */
static int judge(struct parser *parser)
{
	struct http_request *request = parser->request;

	if (parser->minor > 0 && parser->n_hosts == 0)
		return refuse(parser, 400, "HTTP/1.1 has a Host");
	if (parser->n_encodings > 0 && (parser->n_lengths > 0 || parser->minor == 0))
		return refuse(parser, 400, "a body has one length");
	request->keep_alive = !parser->wants_close && (parser->minor > 0 || parser->wants_keep);
	return 0;
}

static int parse(struct parser *parser)
{
	const char *start = parser->at;
	struct span line;
	int r = next_line(parser, &line);

	/* One empty line before a request is forgiven (RFC 9112, 2.2). */
	if (r == 1 && line.length == 0)
		r = next_line(parser, &line);
	if (r == 0 && parser->end - start > HTTP_LINE_MAX)
		return refuse(parser, 414, "a shorter request line was expected");
	if (r <= 0)
		return r;
	if (line.length > HTTP_LINE_MAX)
		return refuse(parser, 414, "a shorter request line was expected");
	r = parse_request_line(parser, line);
	if (r < 0)
		return r;
	r = parse_headers(parser);
	if (r <= 0)
		return r;
	r = judge(parser);
	return r < 0 ? r : (int)(parser->at - start);
}

int http_parse(const char *data, size_t length, struct http_request *ret_request,
	       const char **ret_reason)
{
	struct http_request request = {0};
	struct parser parser = {.at = data, .end = data + length, .request = &request};
	int r = parse(&parser);

	if (r == 0 && length >= HTTP_HEAD_MAX)
		r = refuse(&parser, 431, "a shorter head was expected");
	if (r < 0)
		*ret_reason = parser.reason;
	if (r > 0)
		*ret_request = request;
	return r;
}

bool http_path_is(const struct http_request *request, const char *path)
{
	return span_is((struct span){request->path, request->path_length}, path);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next byte of an encoded value; "%" that is no escape stands for itself. */
static char decode_next(struct span *rest)
{
	size_t used = 1;
	char c = *rest->data;

	if (c == '%' && rest->length >= 3 && hex_digit(rest->data[1]) >= 0 &&
	    hex_digit(rest->data[2]) >= 0) {
		c = (char)(hex_digit(rest->data[1]) * 16 + hex_digit(rest->data[2]));
		used = 3;
	}
	rest->data += used;
	rest->length -= used;
	return c;
}

static bool decodes_to(struct span encoded, const char *text)
{
	while (encoded.length > 0) {
		char c = decode_next(&encoded);
		if (c == '\0' || c != *text)
			return false;
		text++;
	}
	return *text == '\0';
}

/* The query is searched once for each unit, so its parameters are bounded. */
static bool next_parameter(struct span *rest, unsigned *count, struct span *ret_name,
			   struct span *ret_value)
{
	if (rest->length == 0 || (*count)++ == HTTP_PARAMETERS_MAX)
		return false;
	*ret_value = span_cut(rest, '&');
	*ret_name = span_cut(ret_value, '=');
	return true;
}

bool http_query_has(const struct http_request *request, const char *name)
{
	struct span rest = {request->query, request->query_length};
	struct span key, value;
	unsigned count = 0;

	while (next_parameter(&rest, &count, &key, &value)) {
		if (span_is(key, name))
			return true;
	}
	return false;
}

bool http_query_is(const struct http_request *request, const char *name, const char *text)
{
	struct span rest = {request->query, request->query_length};
	struct span key, value;
	unsigned count = 0;

	while (next_parameter(&rest, &count, &key, &value)) {
		if (span_is(key, name) && decodes_to(value, text))
			return true;
	}
	return false;
}
