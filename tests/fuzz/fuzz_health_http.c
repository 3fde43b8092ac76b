/* TESTS: health/http.c */
/*
 * Any bytes: the result is within bounds, the pointers lie within the head, and however the bytes
 * are cut into packets, the outcome is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "health/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static bool lies_within(const char *at, size_t length, const char *data, size_t size)
{
	return length == 0 || (at >= data && at + length <= data + size);
}

/* "/" of an absolute target without a path is a constant. */
static bool is_root(const struct http_request *request)
{
	return http_path_is(request, "/");
}

static void look_at(const struct http_request *request, const char *data, int used)
{
	size_t size = (size_t)used;

	demand(is_root(request) || lies_within(request->path, request->path_length, data, size));
	demand(lies_within(request->query, request->query_length, data, size));
	demand(request->method == HTTP_OTHER || request->path[0] == '/' ||
	       request->path_length == 0);
	(void)http_query_has(request, "verbose");
	(void)http_query_is(request, "exclude", "a@b.service");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request;
	const char *reason = NULL;
	size_t length = size < HTTP_HEAD_MAX ? size : HTTP_HEAD_MAX;
	char *copy = malloc(length ? length : 1);

	memcpy(copy, data, length);
	int whole = http_parse(copy, length, &request, &reason);
	demand(whole <= (int)length);
	if (whole > 0)
		look_at(&request, copy, whole);
	demand(whole >= 0 || reason);
	for (size_t n = 0; n < length; n = n * 2 + 1) {
		struct http_request ignored;
		int part = http_parse(copy, n, &ignored, &reason);
		demand(part == 0 || part == whole);
	}
	free(copy);
	return 0;
}
