#pragma once
/*
 * One request to Vault: its headers, its one redirect, and what its answer means. The answers are
 * JSON from outside: checked as a whole before anything is looked up in them.
 *
 * Redirects. A standby node answers 307 and names the node to ask. That is followed once, here and
 * not by libcurl, and the token goes along, when the place named is the same request (its path and
 * query) at another host, by https wherever the request was (plain http only to loopback, which
 * http.c sees to), with a certificate that the same CA made. What it says holds for the rest of the
 * run. Anything else is refused, and the token is sent nowhere.
 */
#include <stdbool.h>
#include <stddef.h>

#include "secrets/decode.h"
#include "secrets/http.h"
#include "secrets/vaultconf.h"

/* Who asks: the conf, and the token of the moment. */
struct vault_client {
	const struct vault_conf *conf;
	struct run *run;
	char address[VAULT_ADDRESS_MAX]; /* the conf's, or where a redirect led */
	const char *token;		 /* borrowed; NULL: none yet */
	const char *other_secret;	 /* borrowed: no text of an error may have it in it */
};

struct vault_call {
	struct vault_client *client;
	const char *method;
	char *path;	   /* behind /v1/, escaped; owned */
	char *body;	   /* JSON or NULL; owned, wiped */
	char *url;	   /* owned */
	const char *token; /* in place of the client's; borrowed. "" sends none */
	bool is_once;	   /* it works once: no second try by anybody */

	/* After vault_call_run: SECRET_OK for 2xx, else a sentence in why, without a value. */
	enum secret_outcome outcome;
	int status; /* 0: there was no answer */
	char why[HTTP_WHY_MAX + 128];
	char *reply; /* checked JSON, NUL-ended; NULL where it has none. Owned, wiped */
	size_t reply_length;
	cJSON *json;	/* its tree */
	char *location; /* of a redirect; owned */
	int64_t date;	/* Vault's, in Unix seconds; 0: it did not say */
};

/* Takes body (of secrets/secmem.h, may be NULL). path is copied. False: no memory. */
bool vault_call_init(struct vault_call *call, struct vault_client *client, const char *method,
		     const char *path, char *body);
void vault_call_run(struct vault_call *calls, size_t n);
void vault_call_finish(struct vault_call *call);

/* {"a":"b",…} of n pairs, those without a value left out; secmem memory, or NULL. */
char *vault_body(const char *const (*pairs)[2], size_t n);
