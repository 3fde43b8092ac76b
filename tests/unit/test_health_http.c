/* TESTS: health/http.c */
#include "health/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"

#define LINE "GET / HTTP/1.1\r\n"
#define HOST "Host: x\r\n"

/* What each head is answered with; 200 stands for: understood, to its last byte. */
static const struct row {
	const char *head;
	size_t length; /* 0: up to the NUL */
	int status;
} rows[] = {
	{LINE HOST "\r\n", 0, 200},
	{"\r\n" LINE HOST "\r\n", 0, 200},
	{"GET / HTTP/1.0\r\n\r\n", 0, 200},
	{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, 200},
	{"GET /a?b=c&d HTTP/1.1\r\n" HOST "\r\n", 0, 200},
	{"GET http://x/health HTTP/1.1\r\n" HOST "\r\n", 0, 200},
	{"GET HTTP://x HTTP/1.1\r\n" HOST "\r\n", 0, 200},
	{"GET / HTTP/1.1\r\nHost: [::1]:9180\r\n\r\n", 0, 200},
	{"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, 200},
	{"GET / HTTP/1.1\r\nhOST:\t x \t\r\n\r\n", 0, 200},
	{LINE HOST "X: \x80\xff caf\xc3\xa9\r\n\r\n", 0, 200},
	{LINE HOST "X:\r\n\r\n", 0, 200},
	{LINE HOST "Content-Length: 0\r\n\r\n", 0, 200},
	{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0, 200},
	{"CONNECT x:1 HTTP/1.1\r\n" HOST "\r\n", 0, 200},
	{"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 0, 200},

	/* Line ends and bytes that parsers disagree about. */
	{"GET / HTTP/1.1\n" HOST "\r\n", 0, 400},
	{LINE "Host: x\n\r\n", 0, 400},
	{LINE HOST "\n", 0, 400},
	{LINE HOST "X: a\rb\r\n\r\n", 0, 400},
	{"GET /a\0b HTTP/1.1\r\n" HOST "\r\n", 27, 400},
	{LINE "Host: x\0y\r\n\r\n", 29, 400},
	{LINE HOST "X: \x7f\r\n\r\n", 0, 400},
	{LINE HOST "X: a\r\n b\r\n\r\n", 0, 400},
	{LINE HOST "X: a\r\n\tb\r\n\r\n", 0, 400},
	{LINE " " HOST "\r\n", 0, 400},
	{"\r\n\r\n" LINE HOST "\r\n", 0, 400},

	/* The request line. */
	{"GET /\r\n\r\n", 0, 400},
	{"GET  / HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET / HTTP/1.1 \r\n" HOST "\r\n", 0, 400},
	{" GET / HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET\t/ HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"G@T / HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET health HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET * HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET http:///x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET /#a HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET / http/1.1\r\n" HOST "\r\n", 0, 400},
	{"GET / HTTP/1\r\n" HOST "\r\n", 0, 400},
	{"GET / HTTP/11\r\n" HOST "\r\n", 0, 400},
	{"GET / HTTP/2.0\r\n" HOST "\r\n", 0, 505},
	{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505},
	{"GET / HTTP/0.9\r\n" HOST "\r\n", 0, 505},
	{"\x16\x03\x01\x02", 0, 400}, /* a TLS hello */

	/* Whose request it is, and where it ends. */
	{LINE "\r\n", 0, 400},
	{LINE HOST HOST "\r\n", 0, 400},
	{"GET / HTTP/1.0\r\n" HOST HOST "\r\n", 0, 400},
	{LINE "Host: a b\r\n\r\n", 0, 400},
	{LINE "Host: a/b\r\n\r\n", 0, 400},
	{LINE "Host: a@b\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length:\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length: -1\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length: +1\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length: 0x1\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length: 1, 1\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length: 00000000000000000000\r\n\r\n", 0, 400},
	{LINE HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400},
	{LINE HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 0, 400},
	{"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400},

	/* Header lines. */
	{LINE "Host : x\r\n\r\n", 0, 400},
	{LINE HOST "no colon\r\n\r\n", 0, 400},
	{LINE HOST ": x\r\n\r\n", 0, 400},
	{LINE HOST "X Y: z\r\n\r\n", 0, 400},
};

static size_t row_length(const struct row *row)
{
	return row->length ? row->length : strlen(row->head);
}

/* From a block of exactly its size, so that AddressSanitizer sees every byte too far. */
static int parse(const char *data, size_t length, struct http_request *ret_request)
{
	const char *reason = NULL;
	char *copy = malloc(length ? length : 1);

	memcpy(copy, data, length);
	int r = http_parse(copy, length, ret_request, &reason);
	free(copy);
	if (r < 0)
		assert_non_null(reason);
	return r;
}

static void test_heads(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct http_request request;
		size_t length = row_length(&rows[i]);
		int r = parse(rows[i].head, length, &request);
		int expected = rows[i].status == 200 ? (int)length : -rows[i].status;
		if (r != expected)
			fail_msg("row %zu, \"%s\": %d instead of %d", i, rows[i].head, r, expected);
	}
}

/* Cut anywhere, a head is either unfinished or already what it will be. */
static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct http_request request;
		size_t length = row_length(&rows[i]);
		int whole = parse(rows[i].head, length, &request);
		for (size_t n = 0; n < length; n++) {
			int r = parse(rows[i].head, n, &request);
			if (r != 0 && r != whole)
				fail_msg("row %zu, %zu bytes: %d instead of 0 or %d", i, n, r,
					 whole);
		}
	}
}

static void test_what_is_told(void **state)
{
	static const char head[] = "HEAD /readyz?verbose&exclude=a%40b.service HTTP/1.1\r\n" HOST
				   "Connection: foo , CLOSE\r\n\r\nGET";
	struct http_request request;
	const char *reason;

	(void)state;
	assert_int_equal(http_parse(head, sizeof(head) - 1, &request, &reason), sizeof(head) - 4);
	assert_int_equal(request.method, HTTP_HEAD);
	assert_true(http_path_is(&request, "/readyz"));
	assert_false(http_path_is(&request, "/ready"));
	assert_false(http_path_is(&request, "/readyz?"));
	assert_false(request.keep_alive);
	assert_false(request.has_body);
	assert_true(http_query_has(&request, "verbose"));
	assert_true(http_query_has(&request, "exclude"));
	assert_false(http_query_has(&request, "verb"));
	assert_true(http_query_is(&request, "exclude", "a@b.service"));
	assert_false(http_query_is(&request, "exclude", "a@b"));
	assert_false(http_query_is(&request, "exclude", "a@b.service2"));
	assert_false(http_query_is(&request, "verbose", "1"));
}

static bool excludes(const char *query, const char *name)
{
	struct http_request request = {.query = query, .query_length = strlen(query)};

	return http_query_is(&request, "exclude", name);
}

static void test_queries(void **state)
{
	char many[256] = "";

	(void)state;
	assert_true(excludes("exclude=a&exclude=b", "b"));
	assert_true(excludes("&&exclude=b&", "b"));
	assert_true(excludes("exclude=%5C%5c", "\\\\"));
	assert_true(excludes("exclude=100%", "100%"));
	assert_true(excludes("exclude=%4", "%4"));
	assert_true(excludes("exclude=%zz", "%zz"));
	assert_false(excludes("exclude=a%00", "a"));
	assert_false(excludes("exclude", "a"));
	assert_false(excludes("xexclude=a", "a"));
	/* Parameters beyond the limit are not looked at. */
	for (int i = 0; i < HTTP_PARAMETERS_MAX; i++)
		strcat(many, "v&");
	strcat(many, "exclude=a");
	assert_false(excludes(many, "a"));
	assert_true(excludes(many + 2, "a"));
}

static void test_keep_alive(void **state)
{
	static const struct {
		const char *head;
		bool keep_alive, has_body;
	} cases[] = {
		{LINE HOST "\r\n", true, false},
		{LINE HOST "Connection: close\r\n\r\n", false, false},
		{LINE HOST "Connection: keep-alive, close\r\n\r\n", false, false},
		{LINE HOST "Connection: closed\r\n\r\n", true, false},
		{"GET / HTTP/1.0\r\n\r\n", false, false},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, false},
		{LINE HOST "Content-Length: 10\r\n\r\n", true, true},
		{LINE HOST "Content-Length: 000\r\n\r\n", true, false},
		{LINE HOST "Transfer-Encoding: identity\r\n\r\n", true, true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct http_request request;
		assert_true(parse(cases[i].head, strlen(cases[i].head), &request) > 0);
		assert_int_equal(request.keep_alive, cases[i].keep_alive);
		assert_int_equal(request.has_body, cases[i].has_body);
	}
}

/* A head of exactly size bytes whose one long header fills it. */
static void fill_head(char *head, size_t size, const char *start)
{
	size_t length = strlen(start);

	memcpy(head, start, length);
	memset(head + length, 'a', size - length);
	memcpy(head + size - 4, "\r\n\r\n", 4);
}

static void test_limits(void **state)
{
	static char head[HTTP_HEAD_MAX + 1], line[HTTP_LINE_MAX + 128];
	static char headers[HTTP_HEAD_MAX];
	struct http_request request;

	(void)state;
	fill_head(head, HTTP_HEAD_MAX, LINE HOST "X: ");
	assert_int_equal(parse(head, HTTP_HEAD_MAX, &request), HTTP_HEAD_MAX);
	fill_head(head, HTTP_HEAD_MAX + 1, LINE HOST "X: ");
	assert_int_equal(parse(head, HTTP_HEAD_MAX - 1, &request), 0);
	assert_int_equal(parse(head, HTTP_HEAD_MAX, &request), -431);

	memset(line, 'a', sizeof(line));
	memcpy(line, "GET /", 5);
	assert_int_equal(parse(line, HTTP_LINE_MAX, &request), 0);
	assert_int_equal(parse(line, HTTP_LINE_MAX + 2, &request), -414);
	memcpy(line + HTTP_LINE_MAX - 8, " HTTP/1.1\r\n" HOST "\r\n", 22);
	assert_int_equal(parse(line, HTTP_LINE_MAX + 14, &request), -414);

	strcpy(headers, LINE HOST);
	for (int i = 1; i < HTTP_HEADERS_MAX; i++)
		strcat(headers, "X: y\r\n");
	size_t length = strlen(headers);
	strcpy(headers + length, "\r\n");
	assert_int_equal(parse(headers, length + 2, &request), length + 2);
	strcpy(headers + length, "X: y\r\n\r\n");
	assert_int_equal(parse(headers, length + 8, &request), -431);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),	     cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_what_is_told), cmocka_unit_test(test_queries),
		cmocka_unit_test(test_keep_alive),   cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
