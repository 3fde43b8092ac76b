#include "secrets/http.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/crypto.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"
#include "secrets/address.h"
#include "secrets/easy.h"
#include "secrets/pace.h"
#include "secrets/secmem.h"
#include "secrets/trust.h"

#define ATTEMPTS_MAX	   8U
#define HTTP_ORIGIN_MAX	   512
#define RETRY_AFTER_MAX_S  3600	 /* longer than any run */
#define RETRY_AFTER_MIN_MS 1000U /* Vault says 0 and means "not now" */

static struct {
	struct run *run;
	CURLM *multi;
	const char *ca_pem; /* whom its connections were checked against; NULL: the machine's CAs */
	struct pace pace;
	char origin[HTTP_ORIGIN_MAX]; /* whose pace it is: https://host:port */
} http;

/* ---- memory that is wiped, for both libraries */

static void *crypto_alloc(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return secmem_alloc(size);
}

static void *crypto_realloc(void *memory, size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	if (size > 0)
		return secmem_realloc(memory, size);
	secmem_free(memory);
	return NULL;
}

static void crypto_free(void *memory, const char *file, int line)
{
	(void)file;
	(void)line;
	secmem_free(memory);
}

static int open_multi(void)
{
	http.multi = curl_multi_init();
	if (!http.multi)
		return -ENOMEM;
	(void)curl_multi_setopt(http.multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)HTTP_CONNECTIONS);
	(void)curl_multi_setopt(http.multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HTTP_CONNECTIONS);
	return 0;
}

int http_init(struct run *run)
{
	if (http.multi)
		return 0;
	secmem_init();
	(void)CRYPTO_set_mem_functions(crypto_alloc, crypto_realloc, crypto_free);
	if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, secmem_alloc, secmem_free, secmem_realloc,
				 secmem_strdup, secmem_zalloc) != CURLE_OK)
		return -ENOMEM;
	trust_init();
	http.run = run;
	return open_multi();
}

void http_finish(void)
{
	if (!http.multi)
		return;
	(void)curl_multi_cleanup(http.multi);
	http.multi = NULL;
	trust_finish();
	curl_global_cleanup();
}

/* ---- one attempt */

int http_header(struct http_call *call, const char *name, const char *value)
{
	if (strpbrk(value, "\r\n"))
		return -EINVAL;
	size_t size = strlen(name) + 2 + strlen(value) + 1;
	char *line = secmem_alloc(size);
	if (!line)
		return -ENOMEM;
	struct strbuf buf;
	strbuf_init(&buf, line, size);
	/* "Name:" would remove a header; "Name;" is how libcurl sends an empty one. */
	strbuf_addf(&buf, value[0] ? "%s: %s" : "%s;", name, value);
	struct curl_slist *longer = curl_slist_append(call->headers, line);
	secmem_free(line);
	if (!longer)
		return -ENOMEM;
	call->headers = longer;
	return 0;
}

/* No answer, and none to be expected: over. */
static void give_up(struct http_call *call, enum secret_outcome outcome, const char *why)
{
	call->outcome = outcome;
	call->is_done = true;
	if (why)
		(void)str_copy(call->why, sizeof(call->why), why);
}

static void forget_attempt(struct http_call *call)
{
	if (call->easy)
		curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	curl_slist_free_all(call->resolve);
	curl_slist_free_all(call->connect_to);
	call->easy = NULL;
	call->headers = call->resolve = call->connect_to = NULL;
	call->is_flying = false;
}

static void forget_reply(struct http_call *call)
{
	secmem_free(call->reply);
	call->reply = NULL;
	call->reply_length = call->reply_room = 0;
	call->status = 0;
	call->date = 0;
	call->retry_after_s = -1;
	call->location[0] = call->why[0] = '\0';
}

static uint32_t draw(void)
{
	uint32_t random = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = (uint32_t)clock_now_us() * 2654435761U;
	return random;
}

/* Whoever answers "not now" is asked until the deadline; whoever is not there at all, so many times. */
static bool is_spent(const struct http_call *call, enum secret_outcome outcome)
{
	unsigned max = call->is_once ? 1 : call->attempts_max ? call->attempts_max : ATTEMPTS_MAX;

	if (outcome == SECRET_TEMPORARY && !call->attempts_max && !call->is_once &&
	    http.run->deadline_us != USEC_INFINITY)
		return false;
	return call->attempts >= max;
}

/* Later, when there is time for it: at the service's pace where it answered, else at its own. */
static void put_off(struct http_call *call, enum secret_outcome outcome, bool is_now)
{
	uint64_t now = clock_now_us();
	uint32_t wait = 0;

	if (call->retry_after_s >= 0) {
		wait = (uint32_t)MIN(call->retry_after_s, RETRY_AFTER_MAX_S) * 1000;
		wait = MAX(wait, RETRY_AFTER_MIN_MS);
		run_retry_after(http.run, wait);
	}
	if (!is_now && outcome == SECRET_TEMPORARY) {
		call->due_us = pace_throttled(&http.pace, now, draw(), wait);
	} else {
		if (!is_now)
			wait = MAX(wait, pace_jitter_ms(call->attempts - 1, PACE_MAX_MS, draw()));
		call->due_us = now + wait * USEC_PER_MSEC;
	}
	call->outcome = outcome;
	if (is_spent(call, outcome) || call->due_us >= http.run->deadline_us) {
		call->is_done = true;
		return;
	}
	http.run->report.n_retries++;
}

/* The name of the host is no longer libcurl's to find: this is where it is. */
static bool set_target(struct http_call *call)
{
	struct address_target target;

	enum secret_outcome outcome =
		address_resolve(http.run, call->url, call->tls ? call->tls->server_name : NULL,
				&target, call->why, sizeof(call->why));
	if (outcome == SECRET_UNREACHABLE) {
		forget_attempt(call);
		put_off(call, outcome, false);
		return false;
	}
	if (outcome != SECRET_OK) {
		give_up(call, outcome, NULL);
		return false;
	}
	call->is_plain = target.is_plain;
	call->has_tls_proxy = str_starts(target.proxy, "https:");
	if (target.resolve[0] != '\0')
		call->resolve = curl_slist_append(NULL, target.resolve);
	if (target.connect_to[0] != '\0')
		call->connect_to = curl_slist_append(NULL, target.connect_to);
	(void)curl_easy_setopt(call->easy, CURLOPT_URL, target.url);
	(void)curl_easy_setopt(call->easy, CURLOPT_RESOLVE, call->resolve);
	(void)curl_easy_setopt(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
	(void)curl_easy_setopt(call->easy, CURLOPT_PROTOCOLS_STR,
			       target.is_plain ? "http" : "https");
	/* Empty: none, whatever the environment says. */
	(void)curl_easy_setopt(call->easy, CURLOPT_PROXY, target.proxy);
	if (target.host[0] != '\0' && http_header(call, "Host", target.host) < 0)
		give_up(call, SECRET_FAILED, "out of memory");
	return !call->is_done;
}

static void start(struct http_call *call)
{
	uint32_t left_ms = run_left_ms(http.run, UINT32_MAX);

	/* What was wrong the last time says more than that the time is over. */
	if (left_ms == 0 && call->attempts > 0)
		call->is_done = true;
	else if (left_ms == 0)
		give_up(call, SECRET_UNREACHABLE, "there was no time left for it");
	if (call->is_done)
		return;
	forget_reply(call);
	call->error[0] = '\0';
	call->attempts++;
	call->easy = curl_easy_init();
	if (!call->easy) {
		give_up(call, SECRET_FAILED, "out of memory");
		return;
	}
	if (!set_target(call))
		return;
	/* What comes by default: none of it is signed or wanted. */
	if (http_header(call, "Accept", "*/*") < 0 || (call->prepare && call->prepare(call) < 0)) {
		give_up(call, SECRET_FAILED, call->why[0] ? NULL : "the call cannot be made ready");
		return;
	}
	if (easy_set_tls(call) < 0) {
		give_up(call, SECRET_MALFORMED,
			call->why[0] ? NULL : "its certificates cannot be used");
		return;
	}
	easy_set_body(call);
	call->headers = curl_slist_append(call->headers, "Expect:");
	(void)curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
	easy_set_options(call, left_ms);
	if (curl_multi_add_handle(http.multi, call->easy) != CURLM_OK)
		give_up(call, SECRET_FAILED, "libcurl refuses the call");
	else
		call->is_flying = true;
}

/* ---- what became of it */

enum http_verdict http_judge(struct http_call *call)
{
	return call->status == 429 || call->status == 412 ||
			       (call->status >= 500 && call->status != 501)
		       ? HTTP_RETRY
		       : HTTP_FINAL;
}

static void judge_reply(struct http_call *call)
{
	enum http_verdict verdict = (call->judge ? call->judge : http_judge)(call);

	if (verdict == HTTP_FINAL) {
		pace_answered(&http.pace);
		call->outcome = SECRET_OK;
		call->is_done = true;
		return;
	}
	if (verdict == HTTP_OVER) {
		call->outcome = SECRET_OK;
		call->is_done = true;
		return;
	}
	if (call->why[0] == '\0') {
		struct strbuf buf;
		strbuf_init(&buf, call->why, sizeof(call->why));
		strbuf_addf(&buf, "it answered with status %d", call->status);
	}
	put_off(call, SECRET_TEMPORARY, verdict == HTTP_AGAIN);
}

static void judge_failure(struct http_call *call, CURLcode code)
{
	struct strbuf buf;
	const char *text = call->error[0] ? call->error : curl_easy_strerror(code);

	strbuf_init(&buf, call->why, sizeof(call->why));
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
		/* Not for want of a CA that is trusted: nothing was sent yet, so that was no attempt. */
		if (!call->is_trust_whole && trust_widen(easy_ca_of(call->tls))) {
			call->attempts--;
			return;
		}
		strbuf_addf(&buf, "its certificate cannot be trusted: %s", text);
		give_up(call, SECRET_UNREACHABLE, NULL);
		break;
	case CURLE_WRITE_ERROR:
		strbuf_addf(&buf, "it answered with more than %u bytes", easy_reply_max(call));
		give_up(call, call->is_too_large ? SECRET_MALFORMED : SECRET_FAILED,
			call->is_too_large ? NULL : "out of memory");
		break;
	case CURLE_OUT_OF_MEMORY:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		strbuf_adds(&buf, text);
		give_up(call, SECRET_MALFORMED, NULL);
		break;
	default: strbuf_adds(&buf, text); put_off(call, SECRET_UNREACHABLE, false);
	}
}

static void land(struct http_call *call, CURLcode code)
{
	long status = 0;

	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_multi_remove_handle(http.multi, call->easy);
	forget_attempt(call);
	if (code != CURLE_OK) {
		judge_failure(call, code);
		return;
	}
	call->status = (int)status;
	if (!call->reply)
		call->reply = secmem_zalloc(1, 1);
	if (!call->reply)
		give_up(call, SECRET_FAILED, "out of memory");
	else
		judge_reply(call);
}

/* ---- all of them */

static void reap(void)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http.multi, &left))) {
		struct http_call *call = NULL;
		CURLcode code = message->data.result;
		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
		land(call, code);
	}
}

/* Starts what is due, as far as there are connections for it. */
static void start_due(struct http_call *const *calls, size_t n)
{
	size_t n_flying = 0;
	uint64_t now = clock_now_us();

	for (size_t i = 0; i < n; i++)
		n_flying += calls[i]->is_flying;
	for (size_t i = 0; i < n && n_flying < http.pace.window; i++) {
		struct http_call *call = calls[i];
		if (call->is_done || call->is_flying)
			continue;
		call->due_us = MAX(call->due_us, http.pace.quiet_until_us);
		if (call->due_us > now && call->due_us >= http.run->deadline_us) {
			give_up(call, SECRET_TEMPORARY,
				call->why[0] ? NULL : "the service is busy, and no time is left");
		} else if (call->due_us <= now) {
			start(call);
			if (call->is_done)
				forget_attempt(call);
			n_flying += call->is_flying;
		}
	}
}

/* Until something is due that a connection is free for; what flies wakes the poll by itself. */
static int wait_ms(struct http_call *const *calls, size_t n)
{
	uint64_t next_us = USEC_INFINITY;
	size_t n_flying = 0;

	for (size_t i = 0; i < n; i++) {
		n_flying += calls[i]->is_flying;
		if (!calls[i]->is_done && !calls[i]->is_flying)
			next_us = MIN(next_us, calls[i]->due_us);
	}
	int wait = clock_poll_ms(n_flying < http.pace.window ? next_us : USEC_INFINITY);
	return wait < 0 || wait > 1000 ? 1000 : wait;
}

static bool all_done(struct http_call *const *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!calls[i]->is_done)
			return false;
	}
	return true;
}

/* Another service has another pace; the same, asked again, the one that it had. */
static void choose_pace(const char *url)
{
	const char *host = strstr(url, "://");
	size_t length = host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : strlen(url);

	length = MIN(length, sizeof(http.origin) - 1);
	if (strncmp(http.origin, url, length) == 0 && http.origin[length] == '\0')
		return;
	memcpy(http.origin, url, length);
	http.origin[length] = '\0';
	pace_init(&http.pace, HTTP_CONNECTIONS);
}

/* Connections that were checked against other CAs are not used again: libcurl tells them apart by
 * options that it has not got from us. */
static bool choose_connections(const struct http_tls *tls)
{
	const char *ca_pem = easy_ca_of(tls);
	CURLM *old = http.multi;

	if (ca_pem == http.ca_pem)
		return true;
	if (open_multi() < 0) {
		http.multi = old;
		return false;
	}
	(void)curl_multi_cleanup(old);
	http.ca_pem = ca_pem;
	return true;
}

void http_run_list(struct http_call *const *calls, size_t n)
{
	int n_running;

	if (n > 0)
		choose_pace(calls[0]->url);
	if (n > 0 && !choose_connections(calls[0]->tls)) {
		for (size_t i = 0; i < n; i++)
			give_up(calls[i], SECRET_FAILED, "out of memory");
	}
	for (;;) {
		start_due(calls, n);
		(void)curl_multi_perform(http.multi, &n_running);
		reap();
		if (all_done(calls, n))
			return;
		(void)curl_multi_poll(http.multi, NULL, 0, wait_ms(calls, n), NULL);
	}
}

void http_run(struct http_call *calls, size_t n)
{
	struct http_call *one = calls;

	if (n == 1) {
		http_run_list(&one, 1);
		return;
	}
	struct http_call **list = secmem_zalloc(n, sizeof(*list));
	for (size_t i = 0; list && i < n; i++)
		list[i] = &calls[i];
	if (list)
		http_run_list(list, n);
	for (size_t i = 0; !list && i < n; i++)
		give_up(&calls[i], SECRET_FAILED, "out of memory");
	secmem_free(list);
}

void http_call_finish(struct http_call *call)
{
	forget_attempt(call);
	secmem_free(call->reply);
	call->reply = NULL;
}
