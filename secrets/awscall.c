#include "secrets/awscall.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "secrets/aws.h"
#include "secrets/awserror.h"
#include "secrets/decode.h"
#include "secrets/secmem.h"
#include "secrets/sign.h"

/* ---- one attempt */

static bool host_of(const char *url, char *host, size_t size)
{
	const char *start = strstr(url, "://");

	if (!start)
		return false;
	start += 3;
	size_t length = strcspn(start, "/?#");
	if (length >= size)
		return false;
	memcpy(host, start, length);
	host[length] = '\0';
	/* As HTTP clients send it: without the port that is everybody's. */
	if (str_starts(url, "https://") && str_ends(host, ":443"))
		host[length - 4] = '\0';
	else if (str_starts(url, "http://") && str_ends(host, ":80"))
		host[length - 3] = '\0';
	return true;
}

static const char *region_of(const struct awscall *call)
{
	return call->region && call->region[0] ? call->region : aws_region();
}

static int sign(struct awscall *call, const struct sign_header *headers, size_t n)
{
	char authorization[1024];
	const struct sign_request request = {
		.method = "POST",
		.path = "/",
		.query = "",
		.headers = headers,
		.n_headers = n,
		.body = call->body,
		.body_length = call->http.body_length,
		.region = region_of(call),
		.service = call->service->endpoint->name,
		.time = aws_now(),
	};

	int r = sign_request(&request, aws_credentials(), authorization, sizeof(authorization));
	if (r == 0)
		r = http_header(&call->http, "Authorization", authorization);
	explicit_bzero(authorization, sizeof(authorization));
	return r;
}

static int prepare(struct http_call *http)
{
	struct awscall *call = http->context;
	const char *token = aws_credentials()->token;
	char target[128], date[SIGN_DATE_SIZE], host[512];
	struct sign_header headers[] = {
		{"Content-Type", "application/x-amz-json-1.1"},
		{"X-Amz-Target", target},
		{"X-Amz-Date", date},
		{"Host", host},
		{"X-Amz-Security-Token", token},
	};
	size_t n = ARRAY_COUNT(headers) - !token;

	(void)snprintf(target, sizeof(target), "%s.%s", call->service->target, call->operation);
	sign_date(aws_now(), date);
	if (!host_of(call->url, host, sizeof(host)))
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int r = http_header(http, headers[i].name, headers[i].value);
		if (r < 0)
			return r;
	}
	return sign(call, headers, n);
}

/* The type of a refusal: in the body, or in a header that we do not look at. */
static void note_error(struct awscall *call)
{
	const struct http_call *http = &call->http;

	call->error[0] = call->action[0] = '\0';
	if (http->status == 200)
		return;
	cJSON *tree = decode_parse(http->reply, http->reply_length, NULL);
	const char *type = decode_string(tree, "__type");
	if (!type)
		type = decode_string(tree, "code");
	const char *bare = type ? strrchr(type, '#') : NULL;
	if (type)
		(void)str_copy(call->error, sizeof(call->error), bare ? bare + 1 : type);
	const char *message = decode_string(tree, "message");
	if (!message)
		message = decode_string(tree, "Message");
	call->meaning = awserror_meaning(call->error, http->status, message);
	(void)awserror_action(message, call->action, sizeof(call->action));
	cJSON_Delete(tree);
	/* It goes into messages. */
	for (char *c = call->error; *c != '\0'; c++) {
		if (*c <= ' ' || *c > '~')
			*c = '?';
	}
}

static void say_throttled(const struct awscall *call)
{
	static bool is_said[2];

	if (is_said[call->has_other_way])
		return;
	is_said[call->has_other_way] = true;
	event_emit(EVENT_WARNING, "secrets-throttled", NULL, "%s slows %s down (%s): %s",
		   call->service->endpoint->name, call->operation, call->error,
		   call->has_other_way ? "what it is for is asked for one by one"
				       : "it is asked again, later each time");
}

static enum http_verdict judge(struct http_call *http)
{
	struct awscall *call = http->context;
	struct strbuf buf;

	note_error(call);
	if (awserror_is_throttle(call->error)) {
		say_throttled(call);
		strbuf_init(&buf, http->why, sizeof(http->why));
		strbuf_addf(&buf, "it answered %s (status %d)", call->error, http->status);
		call->is_throttled = true;
		return call->has_other_way ? HTTP_OVER : HTTP_RETRY;
	}
	if (!call->has_corrected_time && awserror_is_time(call->error) &&
	    aws_learn_time(http->date)) {
		call->has_corrected_time = true;
		return HTTP_AGAIN;
	}
	/* What calls itself a success and is cut or no JSON was not said by the service. */
	if (http->status == 200) {
		cJSON *tree = decode_parse(http->reply, http->reply_length, NULL);
		bool is_good = cJSON_IsObject(tree);
		cJSON_Delete(tree);
		return is_good || http->attempts > 2 ? HTTP_FINAL : HTTP_RETRY;
	}
	return http_judge(http);
}

/* ---- all of it */

int awscall_init(struct awscall *call, const struct awscall_service *service, const char *operation,
		 cJSON *body)
{
	*call = (struct awscall){.service = service, .operation = operation};
	call->body = cJSON_PrintUnformatted(body);
	cJSON_Delete(body);
	return call->body ? 0 : -ENOMEM;
}

static void arm(struct awscall *call)
{
	http_call_finish(&call->http);
	call->http = (struct http_call){
		.method = "POST",
		.url = call->url,
		.body = call->body,
		.body_length = strlen(call->body),
		.prepare = prepare,
		.judge = judge,
		.context = call,
		.tls = aws_tls(),
	};
}

void awscall_finish(struct awscall *call)
{
	http_call_finish(&call->http);
	cJSON_free(call->body);
	call->body = NULL;
}

static bool make_url(struct run *run, struct awscall *call)
{
	char host[HTTP_URL_MAX - 1];

	if (!endpoint_url(run, call->service->endpoint, region_of(call), host, sizeof(host)))
		return false;
	(void)snprintf(call->url, sizeof(call->url), "%s/", host);
	return true;
}

static enum secret_outcome run_once(struct run *run, struct awscall **calls, size_t n,
				    struct strbuf *why)
{
	enum secret_outcome outcome = aws_begin(run, why);
	if (outcome != SECRET_OK)
		return outcome;
	struct http_call **https = secmem_zalloc(n, sizeof(*https));
	if (!https) {
		strbuf_adds(why, "out of memory");
		return SECRET_FAILED;
	}
	for (size_t i = 0; i < n && outcome == SECRET_OK; i++) {
		arm(calls[i]);
		https[i] = &calls[i]->http;
		if (!make_url(run, calls[i])) {
			strbuf_adds(why, "the endpoint of AWS is too long");
			outcome = SECRET_MALFORMED;
		}
	}
	if (outcome == SECRET_OK)
		http_run_list(https, n);
	secmem_free(https);
	return outcome;
}

enum secret_outcome awscall_run(struct run *run, struct awscall *calls, size_t n,
				struct strbuf *why)
{
	size_t n_list = 0;

	CLEANUP(secmem_freep) struct awscall **list = secmem_zalloc(n ? n : 1, sizeof(*list));
	if (!list) {
		strbuf_adds(why, "out of memory");
		return SECRET_FAILED;
	}
	for (size_t i = 0; i < n; i++)
		list[i] = &calls[i];
	enum secret_outcome outcome = run_once(run, list, n, why);
	if (outcome != SECRET_OK)
		return outcome;
	for (size_t i = 0; i < n; i++) {
		if (awserror_is_token(calls[i].error))
			list[n_list++] = &calls[i];
	}
	if (n_list == 0 || !aws_distrust())
		return SECRET_OK;
	return run_once(run, list, n_list, why);
}

static enum secret_outcome explain_refusal(const struct awscall *call, struct strbuf *why)
{
	const struct http_call *http = &call->http;

	if (http->status >= 300 && http->status < 400) {
		strbuf_addf(why,
			    "%s of %s was redirected (status %d), which AWS does not do: is %s its "
			    "endpoint?",
			    call->operation, call->service->endpoint->name, http->status,
			    call->url);
		return SECRET_MALFORMED;
	}
	strbuf_addf(why, "%s of %s is refused: %s (status %d)", call->operation,
		    call->service->endpoint->name, call->error[0] ? call->error : "no reason given",
		    http->status);
	if (str_equal(call->error, "AccessDeniedException") && call->action[0] != '\0')
		strbuf_addf(why, "; %s needs %s", aws_identity(), call->action);
	else if (str_equal(call->error, "AccessDeniedException"))
		strbuf_addf(why, "; %s needs %s:%s", aws_identity(), call->service->endpoint->name,
			    call->operation);
	return call->meaning;
}

enum secret_outcome awscall_result(const struct awscall *call, cJSON **ret_tree, struct strbuf *why)
{
	const struct http_call *http = &call->http;

	if (http->outcome != SECRET_OK) {
		strbuf_addf(why, "%s of %s: %s", call->operation, call->service->endpoint->name,
			    http->why);
		return http->outcome;
	}
	if (http->status != 200)
		return explain_refusal(call, why);
	strbuf_addf(why, "the reply to %s of %s: ", call->operation, call->service->endpoint->name);
	cJSON *tree = decode_parse(http->reply, http->reply_length, why);
	if (!cJSON_IsObject(tree)) {
		strbuf_adds(why, tree ? "it is no object" : "");
		cJSON_Delete(tree);
		return SECRET_TEMPORARY;
	}
	strbuf_reset(why);
	*ret_tree = tree;
	return SECRET_OK;
}
