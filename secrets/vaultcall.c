#include "secrets/vaultcall.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "secrets/secmem.h"

#define ERROR_MAX 160 /* bytes of what Vault says */

/* What a status means; all else of 4xx is a request that will not become better. */
static const struct {
	int status;
	enum secret_outcome outcome;
	const char *meaning;
} meanings[] = {
	{400, SECRET_MALFORMED, "Vault refuses the request"},
	{401, SECRET_DENIED, "Vault denies it"},
	{403, SECRET_DENIED, "Vault denies it"},
	{404, SECRET_NOT_FOUND, "Vault has nothing there"},
	{405, SECRET_MALFORMED, "this cannot be read"},
	{412, SECRET_TEMPORARY, "this node of Vault is not up to date yet"},
	{429, SECRET_TEMPORARY, "Vault's quota for requests is used up"},
	{473, SECRET_TEMPORARY, "this node of Vault is a standby that cannot answer"},
	{501, SECRET_UNREACHABLE, "Vault is not initialized"},
	{503, SECRET_TEMPORARY, "Vault is sealed or in maintenance"},
};

static enum secret_outcome outcome_of(int status, const char **ret_meaning)
{
	for (size_t i = 0; i < ARRAY_COUNT(meanings); i++) {
		if (meanings[i].status == status) {
			*ret_meaning = meanings[i].meaning;
			return meanings[i].outcome;
		}
	}
	*ret_meaning = status >= 500 ? "Vault is broken" : "Vault refuses the request";
	return status >= 500 ? SECRET_TEMPORARY : SECRET_MALFORMED;
}

/* ---- what is sent */

static bool set_url(struct vault_call *call)
{
	const char *address = call->client->address;
	size_t size = strlen(address) + strlen("/v1/") + strlen(call->path) + 1;
	struct strbuf buf;

	secmem_free(call->url);
	call->url = secmem_alloc(size);
	if (!call->url)
		return false;
	strbuf_init(&buf, call->url, size);
	strbuf_addf(&buf, "%s/v1/%s", address, call->path);
	return true;
}

static const char *token_of(const struct vault_call *call)
{
	return call->token ? call->token : call->client->token;
}

static int add_headers(struct http_call *http)
{
	const struct vault_call *call = http->context;
	const struct vault_conf *conf = call->client->conf;
	const char *token = token_of(call);
	const struct {
		const char *name, *value;
	} headers[] = {
		{"X-Vault-Request", "true"},
		{"X-Vault-Token", token && token[0] ? token : NULL},
		{"X-Vault-Namespace", conf->namespace},
		{"Content-Type", call->body ? "application/json" : NULL},
	};

	for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
		int r = headers[i].value ? http_header(http, headers[i].name, headers[i].value) : 0;
		if (r < 0) {
			(void)str_copy(http->why, sizeof(http->why),
				       "a header of the request cannot be made");
			return r;
		}
	}
	return 0;
}

bool vault_call_init(struct vault_call *call, struct vault_client *client, const char *method,
		     const char *path, char *body)
{
	*call = (struct vault_call){
		.client = client,
		.method = method,
		.path = secmem_strdup(path),
		.body = body,
	};
	return call->path != NULL;
}

static bool set_up(struct vault_call *call, struct http_call *http)
{
	const struct vault_conf *conf = call->client->conf;

	*http = (struct http_call){
		.method = call->method,
		.body = call->body,
		.body_length = call->body ? strlen(call->body) : 0,
		.prepare = add_headers,
		.context = call,
		.tls = &conf->tls,
		.attempts_max = conf->attempts_max,
		.is_once = call->is_once,
	};
	if (!set_url(call))
		return false;
	http->url = call->url;
	return true;
}

char *vault_body(const char *const (*pairs)[2], size_t n)
{
	struct strbuf buf;
	size_t size = 3;

	for (size_t i = 0; i < n; i++)
		size += pairs[i][1] ? strlen(pairs[i][0]) + 6 * strlen(pairs[i][1]) + 8 : 0;
	char *body = secmem_alloc(size);
	if (!body)
		return NULL;
	strbuf_init(&buf, body, size);
	json_object_begin(&buf);
	for (size_t i = 0; i < n; i++) {
		if (pairs[i][1])
			json_add_string(&buf, pairs[i][0], pairs[i][1]);
	}
	json_object_end(&buf);
	return body;
}

/* ---- what comes back */

/* Of what was sent, what no message may have in it. */
static bool echoes_body(const struct vault_call *call, const char *text)
{
	static const char *const names[] = {"secret_id", "jwt", "token", "iam_request_headers"};
	cJSON *body = call->body ? cJSON_Parse(call->body) : NULL;
	bool found = false;

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		const char *sent = decode_string(body, names[i]);
		found |= sent && sent[0] && strstr(text, sent);
	}
	cJSON_Delete(body);
	return found;
}

static bool has_secret(const struct vault_call *call, const char *text)
{
	const char *secrets[] = {call->token, call->client->token, call->client->other_secret};

	for (size_t i = 0; i < ARRAY_COUNT(secrets); i++) {
		if (secrets[i] && secrets[i][0] && strstr(text, secrets[i]))
			return true;
	}
	return echoes_body(call, text);
}

/* The first line of what Vault says is wrong, where it may be shown. */
static void add_error(const struct vault_call *call, struct strbuf *buf)
{
	const cJSON *errors = decode_member(call->json, "errors");
	const cJSON *first = cJSON_IsArray(errors) ? cJSON_GetArrayItem(errors, 0) : NULL;
	const char *text = first && cJSON_IsString(first) ? first->valuestring : NULL;

	if (!text || !text[0] || has_secret(call, text))
		return;
	strbuf_adds(buf, ": ");
	for (size_t i = 0; i < ERROR_MAX && text[i]; i++) {
		unsigned char c = (unsigned char)text[i];
		bool is_space = c == ' ' || c == '\n' || c == '\t';
		if (is_space && (text[i + 1] == '\0' || strchr(" \n\t", text[i + 1])))
			continue;
		strbuf_addc(buf, is_space ? ' ' : c > 0x20 && c < 0x7F ? (char)c : '?');
	}
}

static void settle_status(struct vault_call *call)
{
	struct strbuf buf;
	const char *meaning;

	if (call->status >= 200 && call->status < 300) {
		call->outcome = SECRET_OK;
		return;
	}
	call->outcome = outcome_of(call->status, &meaning);
	strbuf_init(&buf, call->why, sizeof(call->why));
	strbuf_addf(&buf, "%s (%d, %s %.*s)", meaning, call->status, call->method,
		    (int)strcspn(call->path, "?"), call->path);
	add_error(call, &buf);
}

static void forget_reply(struct vault_call *call)
{
	if (call->json)
		cJSON_Delete(call->json);
	secmem_free(call->reply);
	secmem_free(call->location);
	call->json = NULL;
	call->reply = call->location = NULL;
	call->reply_length = 0;
}

static void settle(struct vault_call *call, struct http_call *http)
{
	char text[160] = "its answer is empty";
	struct strbuf why;

	call->outcome = http->outcome;
	call->status = http->status;
	call->date = http->date;
	if (http->outcome != SECRET_OK && http->status == 0) {
		(void)str_copy(call->why, sizeof(call->why), http->why);
		return;
	}
	call->reply = http->reply;
	call->reply_length = http->reply_length;
	http->reply = NULL;
	call->location = secmem_strdup(http->location);
	strbuf_init(&why, text, sizeof(text));
	if (call->reply_length > 0)
		call->json = decode_parse(call->reply, call->reply_length, &why);
	settle_status(call);
	if (call->outcome == SECRET_OK && call->status != 204 && !call->json) {
		struct strbuf buf;
		call->outcome = SECRET_UNREACHABLE;
		strbuf_init(&buf, call->why, sizeof(call->why));
		strbuf_addf(&buf, "what answers at %s is not Vault: %s", call->client->address,
			    text);
	}
}

/* ---- the one redirect */

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where location leads for this very request: the address in front of its /v1/…; false when it is
 * anything but the same request elsewhere. */
static bool take_location(const struct vault_call *call, const char *location, char *address)
{
	bool was_https = str_starts(call->client->address, "https://");
	bool is_https = str_starts(location, "https://");
	size_t length = strlen(location), tail = strlen("/v1/") + strlen(call->path);

	if (!is_https && (was_https || !str_starts(location, "http://")))
		return false;
	if (length <= tail || length - tail >= VAULT_ADDRESS_MAX)
		return false;
	const char *end = location + length - tail;
	if (!str_starts(end, "/v1/") || !str_equal(end + strlen("/v1/"), call->path))
		return false;
	memcpy(address, location, length - tail);
	address[length - tail] = '\0';
	const char *host = strstr(address, "://") + 3;
	return host[0] && host[0] != '/' && !strpbrk(host, "@?# \\");
}

/* True when the call is to be made again. */
static bool redirect(struct vault_call *call)
{
	char address[VAULT_ADDRESS_MAX];
	struct strbuf buf;

	if (call->status != 307 && call->status != 308 && is_redirect(call->status)) {
		call->outcome = SECRET_UNREACHABLE;
		strbuf_init(&buf, call->why, sizeof(call->why));
		strbuf_addf(&buf, "what answers at %s redirects with %d, which Vault does not",
			    call->client->address, call->status);
		return false;
	}
	if (!is_redirect(call->status))
		return false;
	if (call->location && take_location(call, call->location, address)) {
		(void)str_copy(call->client->address, sizeof(call->client->address), address);
		return true;
	}
	call->outcome = SECRET_UNREACHABLE;
	(void)str_copy(call->why, sizeof(call->why),
		       "Vault redirects to something other than the same request by https: the "
		       "token is not sent there");
	return false;
}

static void run_all(struct vault_call **calls, size_t n)
{
	struct http_call *https = secmem_zalloc(n + 1, sizeof(*https));
	size_t ready = 0;

	for (size_t i = 0; i < n; i++) {
		calls[i]->outcome = SECRET_FAILED;
		(void)str_copy(calls[i]->why, sizeof(calls[i]->why), "no memory for the request");
		forget_reply(calls[i]);
		if (https && set_up(calls[i], &https[ready]))
			ready++;
	}
	if (!https)
		return;
	http_run(https, ready);
	for (size_t i = 0; i < ready; i++) {
		settle(https[i].context, &https[i]);
		http_call_finish(&https[i]);
	}
	secmem_free(https);
}

void vault_call_run(struct vault_call *calls, size_t n)
{
	struct vault_call **pending = secmem_zalloc(n + 1, sizeof(struct vault_call *));
	size_t again = 0;

	for (size_t i = 0; i < n; i++) {
		calls[i].outcome = SECRET_FAILED;
		if (pending)
			pending[i] = &calls[i];
	}
	if (!pending)
		return;
	run_all(pending, n);
	for (size_t i = 0; i < n; i++) {
		if (redirect(&calls[i]))
			pending[again++] = &calls[i];
	}
	if (again > 0)
		run_all(pending, again);
	for (size_t i = 0; i < again; i++) {
		if (!is_redirect(pending[i]->status))
			continue;
		pending[i]->outcome = SECRET_UNREACHABLE;
		(void)str_copy(pending[i]->why, sizeof(pending[i]->why),
			       "Vault redirects a second time");
	}
	secmem_free(pending);
}

void vault_call_finish(struct vault_call *call)
{
	forget_reply(call);
	secmem_free(call->path);
	secmem_free(call->body);
	secmem_free(call->url);
	*call = (struct vault_call){0};
}
