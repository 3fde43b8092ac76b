/* TESTS: secrets/sign.c lib/str.c */
/* LDFLAGS: -lcrypto */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "secrets/sign.h"

#define TIME 1440938160 /* 20150830T123600Z */
#define TOKEN                                                                                      \
	"AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmx" \
	"fpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0K" \
	"PkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZb" \
	"qBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="

static const struct sign_credentials credentials = {
	.access_key = "AKIDEXAMPLE",
	.secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
};

/* The suite that AWS has published, under its own names, as far as it is about what we send. */
static const struct {
	const char *name, *method, *query;
	struct sign_header header[2];
	const char *body, *signature;
} vectors[] = {
	{"get-vanilla",
	 "GET",
	 "",
	 {{0}},
	 "",
	 "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"post-vanilla",
	 "POST",
	 "",
	 {{0}},
	 "",
	 "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"get-vanilla-query-order-key-case",
	 "GET",
	 "Param1=value1&Param2=value2",
	 {{0}},
	 "",
	 "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"post-x-www-form-urlencoded",
	 "POST",
	 "",
	 {{"Content-Type", "application/x-www-form-urlencoded"}},
	 "Param1=value1",
	 "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
	{"get-header-value-trim",
	 "GET",
	 "",
	 {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
	 "",
	 "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
	{"post-header-key-sort",
	 "POST",
	 "",
	 {{"My-Header1", "value1"}},
	 "",
	 "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
	{"post-sts-header-before",
	 "POST",
	 "",
	 {{"X-Amz-Security-Token", TOKEN}},
	 "",
	 "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
};

static int sign_vector(size_t i, char *to, size_t size)
{
	char date[SIGN_DATE_SIZE];
	/* Not in order: sorting is not the caller's. */
	struct sign_header headers[4] = {{"X-Amz-Date", date}, {"Host", "example.amazonaws.com"}};
	size_t n = 2;

	sign_date(TIME, date);
	for (size_t k = 0; k < 2 && vectors[i].header[k].name; k++)
		headers[n++] = vectors[i].header[k];
	const struct sign_request request = {
		.method = vectors[i].method,
		.path = "/",
		.query = vectors[i].query,
		.headers = headers,
		.n_headers = n,
		.body = vectors[i].body,
		.body_length = strlen(vectors[i].body),
		.region = "us-east-1",
		.service = "service",
		.time = TIME,
	};
	return sign_request(&request, &credentials, to, size);
}

static void test_the_published_vectors(void **state)
{
	char got[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		assert_int_equal(sign_vector(i, got, sizeof(got)), 0);
		if (strcmp(got + strlen(got) - 64, vectors[i].signature) != 0)
			fail_msg("%s: %s", vectors[i].name, got);
	}
	assert_int_equal(sign_vector(0, got, sizeof(got)), 0);
	assert_string_equal(got,
			    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
			    "aws4_request, SignedHeaders=host;x-amz-date, Signature="
			    "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void test_what_does_not_fit_is_refused(void **state)
{
	struct sign_header headers[SIGN_HEADERS_MAX + 1];
	char got[1024], key[400];
	struct sign_credentials large = credentials;
	struct sign_request request = {.method = "GET",
				       .path = "/",
				       .query = "",
				       .headers = headers,
				       .region = "r",
				       .service = "s"};

	(void)state;
	assert_int_equal(sign_vector(0, got, 100), -E2BIG);
	for (size_t i = 0; i <= SIGN_HEADERS_MAX; i++)
		headers[i] = (struct sign_header){"a", "b"};
	request.n_headers = SIGN_HEADERS_MAX + 1;
	assert_int_equal(sign_request(&request, &credentials, got, sizeof(got)), -E2BIG);
	request.n_headers = 1;
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	large.secret_key = key;
	assert_int_equal(sign_request(&request, &large, got, sizeof(got)), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_published_vectors),
		cmocka_unit_test(test_what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
