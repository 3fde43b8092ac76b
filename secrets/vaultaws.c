#include "secrets/vaultaws.h"

#include <openssl/evp.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "secrets/aws.h"
#include "secrets/awsref.h"
#include "secrets/endpoint.h"
#include "secrets/secmem.h"
#include "secrets/sign.h"
#include "secrets/vaultcall.h"

#define BODY	     "Action=GetCallerIdentity&Version=2011-06-15"
#define CONTENT_TYPE "application/x-www-form-urlencoded; charset=utf-8"
#define HOST_MAX     128
#define HEADERS	     5

static char *base64(const char *text)
{
	size_t length = strlen(text);
	char *to = secmem_alloc((length + 2) / 3 * 4 + 1);

	if (to)
		(void)EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)text,
				      (int)length);
	return to;
}

/* False when region is none. */
static bool find_host(const char *region, struct strbuf *host)
{
	if (!region)
		strbuf_adds(host, "sts.amazonaws.com");
	else if (awsref_is_region(region))
		strbuf_addf(host, "sts.%s.amazonaws.com%s", region,
			    str_starts(region, "cn-") ? ".cn" : "");
	return host->length > 0 && !host->is_cut;
}

/* Those of the signed request as one JSON object, with the signature. */
static char *headers_json(const struct sign_header *headers, size_t n, const char *authorization)
{
	const char *pairs[HEADERS + 1][2];

	for (size_t i = 0; i < n; i++) {
		pairs[i][0] = headers[i].name;
		pairs[i][1] = headers[i].value;
	}
	pairs[n][0] = "Authorization";
	pairs[n][1] = authorization;
	return vault_body((const char *const(*)[2])pairs, n + 1);
}

static char *sign(const struct vault_conf *conf, const char *host, const char *region)
{
	const struct sign_credentials *credentials = aws_credentials();
	char date[SIGN_DATE_SIZE], authorization[2048];
	struct sign_header headers[HEADERS] = {
		{"Content-Type", CONTENT_TYPE},
		{"Host", host},
		{"X-Amz-Date", date},
	};
	size_t n = 3;

	if (credentials->token)
		headers[n++] = (struct sign_header){"X-Amz-Security-Token", credentials->token};
	if (conf->server_id)
		headers[n++] = (struct sign_header){"X-Vault-AWS-IAM-Server-ID", conf->server_id};
	const struct sign_request request = {
		.method = "POST",
		.path = "/",
		.query = "",
		.headers = headers,
		.n_headers = n,
		.body = BODY,
		.body_length = strlen(BODY),
		.region = region ? region : "us-east-1",
		.service = "sts",
		.time = aws_now(),
	};
	sign_date(request.time, date);
	if (sign_request(&request, credentials, authorization, sizeof(authorization)) < 0)
		return NULL;
	CLEANUP(secmem_freep) char *json = headers_json(headers, n, authorization);
	return json ? base64(json) : NULL;
}

static char *make_body(const struct vault_conf *conf, const char *host, const char *region)
{
	char url[HOST_MAX + 16];
	struct strbuf buf;

	strbuf_init(&buf, url, sizeof(url));
	strbuf_addf(&buf, "https://%s/", host);
	CLEANUP(secmem_freep) char *encoded_url = base64(url);
	CLEANUP(secmem_freep) char *encoded_body = base64(BODY);
	CLEANUP(secmem_freep) char *headers = sign(conf, host, region);
	if (!encoded_url || !encoded_body || !headers)
		return NULL;
	const char *const pairs[][2] = {
		{"role", conf->role},
		{"iam_http_request_method", "POST"},
		{"iam_request_url", encoded_url},
		{"iam_request_body", encoded_body},
		{"iam_request_headers", headers},
	};
	return vault_body(pairs, ARRAY_COUNT(pairs));
}

enum secret_outcome vault_aws_body(struct run *run, const struct vault_conf *conf, char **ret_body,
				   struct strbuf *why)
{
	const char *region = run_setting(run, "HOLDFAST_VAULT_IAM_REGION");
	char host[HOST_MAX];
	struct strbuf buf;

	strbuf_init(&buf, host, sizeof(host));
	if (!find_host(region, &buf)) {
		strbuf_adds(why, "VaultIamRegion=: a region such as eu-central-1 was expected");
		return SECRET_MALFORMED;
	}
	enum secret_outcome outcome = aws_begin(run, why);
	if (outcome != SECRET_OK)
		return outcome;
	*ret_body = make_body(conf, host, region);
	if (*ret_body)
		return SECRET_OK;
	strbuf_adds(why, "the request for STS cannot be signed");
	return SECRET_FAILED;
}
