#include "secrets/imds.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "lib/cleanup.h"
#include "secrets/http.h"
#include "secrets/secmem.h"

#define TIMEOUT_MS   1000
#define ATTEMPTS_MAX 2
#define REPLY_MAX    65536
#define TOKEN_MAX    1024

static char token[TOKEN_MAX];

bool imds_is_disabled(const struct run *run)
{
	return run_setting_is_true(run, "AWS_EC2_METADATA_DISABLED");
}

void imds_finish(void)
{
	explicit_bzero(token, sizeof(token));
}

static void make_url(const struct run *run, const char *path, char *url, size_t size)
{
	const char *endpoint = run_setting(run, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = run_setting(run, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	struct strbuf buf;

	if (!endpoint)
		endpoint = mode && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]"
								 : "http://169.254.169.254";
	strbuf_init(&buf, url, size);
	strbuf_adds(&buf, endpoint);
	while (buf.length > 0 && url[buf.length - 1] == '/')
		url[--buf.length] = '\0';
	strbuf_adds(&buf, path);
}

static int prepare_token(struct http_call *call)
{
	return http_header(call, "X-aws-ec2-metadata-token-ttl-seconds", "21600");
}

static int prepare_get(struct http_call *call)
{
	return http_header(call, "X-aws-ec2-metadata-token", token);
}

static enum secret_outcome explain_token(const struct http_call *call, struct strbuf *why)
{
	strbuf_adds(why, "the metadata service of EC2 gives no token (IMDSv2): ");
	if (call->outcome == SECRET_OK && call->status == 403) {
		strbuf_adds(why, "it is switched off for this instance");
		return SECRET_DENIED;
	}
	if (call->outcome == SECRET_OK) {
		strbuf_addf(why, "it answered with status %d", call->status);
		return SECRET_DENIED;
	}
	strbuf_addf(
		why,
		"%s. In a container behind a bridge there is no reply when the hop limit of "
		"the instance is 1: set --http-put-response-hop-limit 2 with aws ec2 "
		"modify-instance-metadata-options. Outside EC2 set AWS_EC2_METADATA_DISABLED=true",
		call->why);
	return call->outcome;
}

static enum secret_outcome fetch_token(struct run *run, struct strbuf *why)
{
	char url[512];
	struct http_call call = {.method = "PUT",
				 .url = url,
				 .prepare = prepare_token,
				 .body = "",
				 .timeout_ms = TIMEOUT_MS,
				 .connect_ms = TIMEOUT_MS,
				 .attempts_max = ATTEMPTS_MAX,
				 .reply_max = TOKEN_MAX - 1};
	enum secret_outcome outcome = SECRET_OK;

	make_url(run, "/latest/api/token", url, sizeof(url));
	http_run(&call, 1);
	if (call.outcome != SECRET_OK || call.status != 200 || strpbrk(call.reply, "\r\n"))
		outcome = explain_token(&call, why);
	else
		(void)str_copy(token, sizeof(token), call.reply);
	http_call_finish(&call);
	return outcome;
}

static enum secret_outcome get_once(struct run *run, const char *path, struct http_call *call,
				    struct strbuf *why)
{
	char url[512];

	if (token[0] == '\0') {
		enum secret_outcome outcome = fetch_token(run, why);
		if (outcome != SECRET_OK)
			return outcome;
	}
	make_url(run, path, url, sizeof(url));
	*call = (struct http_call){.url = url,
				   .prepare = prepare_get,
				   .timeout_ms = TIMEOUT_MS,
				   .connect_ms = TIMEOUT_MS,
				   .attempts_max = ATTEMPTS_MAX,
				   .reply_max = REPLY_MAX};
	http_run(call, 1);
	call->url = NULL;
	return SECRET_OK;
}

enum secret_outcome imds_get(struct run *run, const char *path, char **ret_text, size_t *ret_length,
			     struct strbuf *why)
{
	struct http_call call = {0};

	enum secret_outcome outcome = get_once(run, path, &call, why);
	/* The token's six hours may have ended, or the instance was moved. */
	if (outcome == SECRET_OK && call.outcome == SECRET_OK && call.status == 401) {
		http_call_finish(&call);
		token[0] = '\0';
		outcome = get_once(run, path, &call, why);
	}
	if (outcome != SECRET_OK)
		return outcome;
	if (call.outcome != SECRET_OK) {
		strbuf_addf(why, "the metadata service of EC2 at %s: %s", path, call.why);
		outcome = call.outcome;
	} else if (call.status != 200) {
		strbuf_addf(why, "the metadata service of EC2 answered %s with status %d%s", path,
			    call.status,
			    call.status == 401 ? ": it takes none of the tokens that it gave" : "");
		outcome = call.status == 404 ? SECRET_NOT_FOUND : SECRET_DENIED;
	} else {
		*ret_text = call.reply;
		*ret_length = call.reply_length;
		call.reply = NULL;
	}
	http_call_finish(&call);
	return outcome;
}
