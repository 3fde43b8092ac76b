#pragma once
/*
 * AWS Signature Version 4 ("Authenticating Requests (AWS Signature Version 4)", AWS General
 * Reference), in a header. libcurl's own signs POST / rightly and queries, spaces and removed headers
 * wrongly, keeps the key, and cannot be told another time than the machine's.
 */
#include <stddef.h>
#include <stdint.h>

#define SIGN_HEADERS_MAX 16
#define SIGN_DATE_SIZE	 17 /* 20150830T123600Z and its NUL */

struct sign_header {
	const char *name, *value;
};

struct sign_credentials {
	const char *access_key, *secret_key;
	const char *
		token; /* of a session; NULL: none. A header of the caller's: X-Amz-Security-Token */
};

/* All borrowed. */
struct sign_request {
	const char *method;
	const char *path;  /* encoded and normalised, as it is sent; "/" */
	const char *query; /* encoded and sorted, as it is sent; "" */
	/* All that are to be signed, host and x-amz-date among them; in any order and case. */
	const struct sign_header *headers;
	size_t n_headers;
	const void *body;
	size_t body_length;
	const char *region, *service;
	int64_t time; /* Unix seconds */
};

/* The time as X-Amz-Date wants it. */
void sign_date(int64_t time, char to[SIGN_DATE_SIZE]);

/* The value of Authorization:. 0, -E2BIG when it does not fit or there are too many headers, or
 * -EIO when libcrypto fails. What was made from the key is wiped. */
int sign_request(const struct sign_request *request, const struct sign_credentials *credentials,
		 char *authorization, size_t size);
