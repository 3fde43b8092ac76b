#pragma once
/*
 * A wrapped secret_id: what was put into the image's reach is not the secret but a token that yields
 * it once. Whoever takes it out first is seen by the second: so before it is used it is asked who
 * made it (creation_path), and a token that was made elsewhere, or used before, is taken as tampering:
 * an event of its own and exit status 77, however optional the secret.
 *
 * What it yielded stays in the state, since it can be had only once.
 */
#include "lib/secretreport.h"
#include "lib/str.h"
#include "secrets/state.h"
#include "secrets/vaultcall.h"

/* The secret_id behind client->conf->credential, as memory to be wiped (secrets/secmem.h). */
enum secret_outcome vault_unwrap(struct vault_client *client, struct state *state,
				 char **ret_secret_id, struct strbuf *why);

/* Whether path is what pattern says, in which a part that is * stands for any one. */
bool vault_path_matches(const char *path, const char *pattern);
