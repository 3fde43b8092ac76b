#pragma once
/*
 * Calls to services, over libcurl. A provider describes the calls that it has; http_run makes them,
 * at most four connections at once, repeats those that are worth it with full jitter (secrets/pace.h)
 * until the run's deadline, and returns when each has an answer or a reason why not.
 *
 * What it holds to, whatever a call asks for: TLS 1.2 at least and certificates checked; plain http
 * only where every address of the host is loopback or a link-local metadata service; no redirect is
 * followed (the next host would get the credentials); no proxy but for https; answers are capped.
 * Names are resolved here and not by libcurl, whose resolver would need threads.
 */
#include "secrets/httpcall.h"
#include "secrets/run.h"

#define HTTP_CONNECTIONS 4

/* Once, in prepare(): loads libcurl with memory that is wiped. 0 or -errno. Idempotent. */
int http_init(struct run *run);
void http_finish(void);

/* "Name: value" for the attempt that is being prepared. -EINVAL for CR or LF in it, -ENOMEM. */
int http_header(struct http_call *call, const char *name, const char *value);

/* Makes all n calls, which go to one service, in an array or in a list of pointers. */
void http_run(struct http_call *calls, size_t n);
void http_run_list(struct http_call *const *calls, size_t n);
void http_call_finish(struct http_call *call);

/* Retry on 429, 412, and 5xx but 501; all else is final. */
enum http_verdict http_judge(struct http_call *call);
