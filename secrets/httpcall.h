#pragma once
/*
 * A call to a service: what it asks for, and what came of it. Who describes it and who makes it share
 * this (secrets/http.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "lib/secretreport.h"

#define HTTP_WHY_MAX 320
#define HTTP_URL_MAX 4096

/* What a reply means for its call. */
enum http_verdict {
	HTTP_FINAL, /* this is the answer, good or bad */
	HTTP_RETRY, /* later: the server is busy or broken */
	HTTP_OVER,  /* no answer, and it is not asked again: its caller has another way */
	HTTP_AGAIN, /* at once: something was put right. Whoever says so bounds it */
};

/* Whom a call trusts and who it is. All borrowed; what is NULL is the system's or none. */
struct http_tls {
	const char *ca_pem; /* the only CAs that are trusted */
	size_t ca_length;
	const char *certificate_pem, *key_pem; /* of the client */
	size_t certificate_length, key_length;
	const char *server_name; /* that its certificate has, where the URL's host is another */
	bool is_unverified;	 /* its certificate is not checked: the image's file said so */
};

struct http_call {
	/* To be set by the caller, borrowed until http_run has returned; 0 and NULL: the default. */
	const char *method; /* GET */
	const char *url;
	const char *body;
	size_t body_length;
	/* Before each attempt: adds its headers with http_header, so that signatures and tokens are
	 * fresh. 0, or -errno after which the call is over (with what it wrote into why). */
	int (*prepare)(struct http_call *call);
	/* http_judge */
	enum http_verdict (*judge)(struct http_call *call);
	void *context;
	const struct http_tls *tls;
	uint32_t timeout_ms, connect_ms; /* of one attempt; 10 s and 4 s */
	uint32_t reply_max;		 /* 8 MiB */
	/* 8; where a busy service answers and the run has a deadline, as many as fit. */
	unsigned attempts_max;
	/* Sent once: not again by us, nor by libcurl, which repeats what it sent over a connection that
	 * turns out to be closed. */
	bool is_once;

	/* The result. SECRET_OK: reply and status are there, and judge called them final; else why
	 * is a sentence without a value in it. status is 0 when no reply came. */
	enum secret_outcome outcome;
	int status;
	char *reply; /* NUL-ended, of secrets/secmem.h; http_call_finish gives it back */
	size_t reply_length;
	char why[HTTP_WHY_MAX];
	unsigned attempts;
	int64_t date;		     /* the server's, in Unix seconds; 0: it did not say */
	int64_t retry_after_s;	     /* -1: not said */
	char location[HTTP_URL_MAX]; /* of a redirect, to be judged by the caller; else empty */

	/* http.c's own. */
	CURL *easy;
	struct curl_slist *headers, *resolve, *connect_to;
	char error[CURL_ERROR_SIZE];
	uint64_t due_us;
	size_t reply_room;
	bool is_done, is_flying, is_plain, is_too_large, has_tls_proxy, is_trust_whole;
};
