#pragma once
/*
 * The session with Vault: a token that was given or logged in for, kept in the state from run to run,
 * renewed when it is due and replaced when it no longer extends. Each unit has its own, so that
 * revoking it when the unit is gone takes back what this unit was lent, and nothing else.
 *
 * A token that was given (VAULT_TOKEN, a token file) is renewed and never revoked: it is whoever's
 * gave it, and other units may use it too.
 */
#include <stdbool.h>

#include "lib/secretreport.h"
#include "lib/str.h"
#include "secrets/lease.h"
#include "secrets/state.h"
#include "secrets/vaultcall.h"

struct vault_session {
	struct vault_client *client;
	struct state *state;
	struct lease lease; /* of the token */
	bool is_given;
	bool is_new;		/* since this run: leases of an older one end with that */
	char *token, *accessor; /* owned; NULL: none. The client borrows the token */
};

/* A token to work with: the kept one, renewed where that is due, or a new one. SECRET_OK, or a
 * sentence in why. */
enum secret_outcome vault_session_begin(struct vault_session *session, struct vault_client *client,
					struct state *state, struct strbuf *why);

/* After a 403: whether the session was at an end, and a new one stands in its place. */
bool vault_session_replace(struct vault_session *session, struct strbuf *why);

/* What the state has of a session that is to be given back; false: there is none. */
bool vault_session_resume(struct vault_session *session, struct vault_client *client,
			  struct state *state);
/* Gives the token back, and all leases with it. Best effort: says how it went in why. */
enum secret_outcome vault_session_revoke(struct vault_session *session, struct strbuf *why);

/* Whether it has to be renewed although nothing was lent with it: there would be no other. */
bool vault_session_is_precious(const struct vault_session *session);

void vault_session_finish(struct vault_session *session);

/* 32 bits for jitter. */
uint32_t vault_random(void);
