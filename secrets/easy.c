#include "secrets/easy.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include <openssl/ssl.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"
#include "secrets/address.h"
#include "secrets/secmem.h"
#include "secrets/trust.h"

#define TIMEOUT_MS 10000U
#define CONNECT_MS 4000U
#define REPLY_MAX  (8U << 20)

const char *easy_ca_of(const struct http_tls *tls)
{
	return tls ? tls->ca_pem : NULL;
}

uint32_t easy_reply_max(const struct http_call *call)
{
	return call->reply_max ? call->reply_max : REPLY_MAX;
}

/* ---- what comes back */

static bool header_is(const char *line, size_t length, const char *name, char *value, size_t size)
{
	size_t n = strlen(name);

	if (length <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
		return false;
	line += n + 1;
	length -= n + 1;
	while (length > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		length--;
	}
	while (length > 0 &&
	       (line[length - 1] == '\r' || line[length - 1] == '\n' || line[length - 1] == ' '))
		length--;
	if (length >= size)
		return false;
	memcpy(value, line, length);
	value[length] = '\0';
	return true;
}

static int64_t seconds_of(const char *value)
{
	uint64_t seconds;

	if (str_parse_u64(value, 86400, &seconds) == 0)
		return (int64_t)seconds;
	time_t when = curl_getdate(value, NULL);
	time_t now = (time_t)(clock_wall_us() / USEC_PER_SEC);
	return when < 0 ? -1 : MIN(MAX((int64_t)(when - now), 0), 86400);
}

static size_t take_header(char *line, size_t size, size_t n, void *data)
{
	struct http_call *call = data;
	char value[128];

	if (header_is(line, size * n, "Date", value, sizeof(value))) {
		time_t when = curl_getdate(value, NULL);
		call->date = when < 0 ? 0 : when;
	} else if (header_is(line, size * n, "Retry-After", value, sizeof(value))) {
		call->retry_after_s = seconds_of(value);
	} else {
		(void)header_is(line, size * n, "Location", call->location, sizeof(call->location));
	}
	return size * n;
}

static size_t take_body(char *data, size_t size, size_t n, void *context)
{
	struct http_call *call = context;
	size_t length = size * n;
	size_t max = easy_reply_max(call);

	if (length > max - call->reply_length) {
		call->is_too_large = true;
		return 0;
	}
	/* Doubled, so that a large reply is not copied once for each packet of it. */
	size_t room = call->reply ? call->reply_room : 0;
	if (!call->reply || call->reply_length + length + 1 > room) {
		room = MAX(2 * room, MAX((size_t)4096, call->reply_length + length + 1));
		char *larger = secmem_realloc(call->reply, room);
		if (!larger)
			return 0;
		call->reply = larger;
		call->reply_room = room;
	}
	memcpy(call->reply + call->reply_length, data, length);
	call->reply_length += length;
	call->reply[call->reply_length] = '\0';
	return length;
}

/* ---- TLS */

static CURLcode use_store(CURL *easy, void *context, void *store)
{
	(void)easy;
	SSL_CTX_set1_cert_store(context, store);
	return CURLE_OK;
}

/* libcurl's own way: for each connection anew. */
static int set_cas(struct http_call *call)
{
	const struct http_tls *tls = call->tls;
	struct curl_blob blob = {.flags = CURL_BLOB_NOCOPY};

	if (!tls || !tls->ca_pem)
		return 0;
	blob.data = (void *)(uintptr_t)tls->ca_pem;
	blob.len = tls->ca_length;
	(void)curl_easy_setopt(call->easy, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(call->easy, CURLOPT_CAPATH, NULL);
	return curl_easy_setopt(call->easy, CURLOPT_CAINFO_BLOB, &blob) == CURLE_OK ? 0 : -EINVAL;
}

/* One store for all. A proxy that is spoken to over TLS would get it as well, and is checked against
 * the machine's CAs; and a libcurl over another library than OpenSSL cannot take it. */
static int set_trust(struct http_call *call)
{
	CURL *easy = call->easy;

	if (call->has_tls_proxy ||
	    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, use_store) != CURLE_OK)
		return set_cas(call);
	X509_STORE *store =
		trust_store(easy_ca_of(call->tls), call->tls ? call->tls->ca_length : 0);
	if (!store) {
		(void)str_copy(call->why, sizeof(call->why),
			       "what it is to be checked against has no certificate in it");
		return -EINVAL;
	}
	call->is_trust_whole = trust_is_whole(easy_ca_of(call->tls));
	(void)curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, store);
	(void)curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
	(void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	return 0;
}

static int set_identity(struct http_call *call)
{
	const struct http_tls *tls = call->tls;
	struct curl_blob blob = {.flags = CURL_BLOB_NOCOPY};

	if (tls && tls->certificate_pem) {
		blob.data = (void *)(uintptr_t)tls->certificate_pem;
		blob.len = tls->certificate_length;
		if (curl_easy_setopt(call->easy, CURLOPT_SSLCERT_BLOB, &blob) != CURLE_OK)
			return -EINVAL;
	}
	if (tls && tls->key_pem) {
		blob.data = (void *)(uintptr_t)tls->key_pem;
		blob.len = tls->key_length;
		if (curl_easy_setopt(call->easy, CURLOPT_SSLKEY_BLOB, &blob) != CURLE_OK)
			return -EINVAL;
	}
	return 0;
}

int easy_set_tls(struct http_call *call)
{
	CURL *easy = call->easy;
	bool is_verified = !call->tls || !call->tls->is_unverified;

	call->is_trust_whole = true;
	if (call->is_plain)
		return 0;
	(void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, is_verified ? 1L : 0L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, is_verified ? 2L : 0L);
	int r = set_trust(call);
	return r < 0 ? r : set_identity(call);
}

/* ---- the rest */

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct http_call *call = context;

	(void)purpose;
	/* The addresses were checked when they were resolved: this is the belt to that. */
	if (call->is_plain && !address_is_local(&address->addr))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

void easy_set_body(struct http_call *call)
{
	CURL *easy = call->easy;

	if (call->body) {
		(void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
				       (curl_off_t)call->body_length);
		/* The least there is: it is wiped in the end, whatever was in it. */
		(void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
		(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
	}
	if (call->method)
		(void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

void easy_set_options(struct http_call *call, uint32_t left_ms)
{
	CURL *easy = call->easy;
	uint32_t timeout = MIN(call->timeout_ms ? call->timeout_ms : TIMEOUT_MS, left_ms);
	uint32_t connect = MIN(call->connect_ms ? call->connect_ms : CONNECT_MS, left_ms);

	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)MAX(timeout, 1U));
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)MAX(connect, 1U));
	(void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)call->is_once);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
}
