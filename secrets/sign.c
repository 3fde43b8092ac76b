#include "secrets/sign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "lib/str.h"

#define KEY_MAX	      256
#define CANONICAL_MAX 32768
#define HEX_SIZE      (2 * SHA256_DIGEST_LENGTH + 1)

struct digest {
	unsigned char bytes[SHA256_DIGEST_LENGTH];
};

void sign_date(int64_t when, char to[SIGN_DATE_SIZE])
{
	time_t seconds = (time_t)when;
	struct tm tm;

	(void)gmtime_r(&seconds, &tm);
	if (strftime(to, SIGN_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
		to[0] = '\0';
}

static void hex_of(const struct digest *digest, char to[HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
		to[2 * i] = digits[digest->bytes[i] >> 4];
		to[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	to[HEX_SIZE - 1] = '\0';
}

static int hash(const void *data, size_t length, char to[HEX_SIZE])
{
	struct digest digest;
	unsigned n;

	if (EVP_Digest(data, length, digest.bytes, &n, EVP_sha256(), NULL) != 1)
		return -EIO;
	hex_of(&digest, to);
	return 0;
}

static int mac(const void *key, size_t key_length, const char *text, struct digest *ret_digest)
{
	unsigned n;

	return HMAC(EVP_sha256(), key, (int)key_length, (const unsigned char *)text, strlen(text),
		    ret_digest->bytes, &n)
		       ? 0
		       : -EIO;
}

/* The key of a day, a region and a service. */
static int derive(const char *secret_key, const char *const scope[4], struct digest *ret_key)
{
	char first[KEY_MAX];
	struct strbuf buf;

	strbuf_init(&buf, first, sizeof(first));
	strbuf_addf(&buf, "AWS4%s", secret_key);
	int r = buf.is_cut ? -E2BIG : mac(first, buf.length, scope[0], ret_key);
	explicit_bzero(first, sizeof(first));
	for (int i = 1; i < 4 && r == 0; i++) {
		struct digest before = *ret_key;
		r = mac(before.bytes, sizeof(before.bytes), scope[i], ret_key);
		explicit_bzero(&before, sizeof(before));
	}
	return r;
}

static int compare_headers(const void *a, const void *b)
{
	return strcasecmp(((const struct sign_header *)a)->name,
			  ((const struct sign_header *)b)->name);
}

static void add_lower(struct strbuf *buf, const char *text)
{
	for (; *text != '\0'; text++)
		strbuf_addc(buf, *text >= 'A' && *text <= 'Z' ? (char)(*text | 0x20) : *text);
}

/* Without spaces at the ends, and one where several were. */
static void add_trimmed(struct strbuf *buf, const char *text)
{
	text += strspn(text, " ");
	while (*text != '\0') {
		size_t word = strcspn(text, " ");
		strbuf_add(buf, text, word);
		text += word;
		size_t spaces = strspn(text, " ");
		text += spaces;
		if (spaces > 0 && *text != '\0')
			strbuf_addc(buf, ' ');
	}
}

static void list_names(struct strbuf *buf, const struct sign_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_addc(buf, ';');
		add_lower(buf, headers[i].name);
	}
}

static int hash_canonical(const struct sign_request *request, const struct sign_header *headers,
			  char to[HEX_SIZE])
{
	char body[HEX_SIZE];
	struct strbuf buf;

	int r = hash(request->body ? request->body : "", request->body_length, body);
	char *text = r < 0 ? NULL : malloc(CANONICAL_MAX);
	if (!text)
		return r < 0 ? r : -ENOMEM;
	strbuf_init(&buf, text, CANONICAL_MAX);
	strbuf_addf(&buf, "%s\n%s\n%s\n", request->method, request->path, request->query);
	for (size_t i = 0; i < request->n_headers; i++) {
		add_lower(&buf, headers[i].name);
		strbuf_addc(&buf, ':');
		add_trimmed(&buf, headers[i].value);
		strbuf_addc(&buf, '\n');
	}
	strbuf_addc(&buf, '\n');
	list_names(&buf, headers, request->n_headers);
	strbuf_addf(&buf, "\n%s", body);
	r = buf.is_cut ? -E2BIG : hash(text, buf.length, to);
	/* A session token is among the headers. */
	explicit_bzero(text, CANONICAL_MAX);
	free(text);
	return r;
}

int sign_request(const struct sign_request *request, const struct sign_credentials *credentials,
		 char *authorization, size_t size)
{
	struct sign_header headers[SIGN_HEADERS_MAX];
	char date[SIGN_DATE_SIZE], day[9], canonical[HEX_SIZE], hex[HEX_SIZE], text[512];
	const char *const scope[4] = {day, request->region, request->service, "aws4_request"};
	struct digest key;
	struct strbuf buf;

	if (request->n_headers > SIGN_HEADERS_MAX)
		return -E2BIG;
	memcpy(headers, request->headers, request->n_headers * sizeof(*headers));
	qsort(headers, request->n_headers, sizeof(*headers), compare_headers);
	int r = hash_canonical(request, headers, canonical);
	if (r < 0)
		return r;
	sign_date(request->time, date);
	(void)memcpy(day, date, 8);
	day[8] = '\0';
	strbuf_init(&buf, text, sizeof(text));
	strbuf_addf(&buf, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/%s\n%s", date, scope[0], scope[1],
		    scope[2], scope[3], canonical);
	r = buf.is_cut ? -E2BIG : derive(credentials->secret_key, scope, &key);
	struct digest signature = {0};
	if (r == 0)
		r = mac(key.bytes, sizeof(key.bytes), text, &signature);
	explicit_bzero(&key, sizeof(key));
	if (r < 0)
		return r;
	hex_of(&signature, hex);
	strbuf_init(&buf, authorization, size);
	strbuf_addf(&buf, "AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/%s, SignedHeaders=",
		    credentials->access_key, scope[0], scope[1], scope[2], scope[3]);
	list_names(&buf, headers, request->n_headers);
	strbuf_addf(&buf, ", Signature=%s", hex);
	return buf.is_cut ? -E2BIG : 0;
}
