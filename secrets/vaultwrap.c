#include "secrets/vaultwrap.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "secrets/secmem.h"
#include "secrets/vaultref.h"

#define KEPT_WRAPPER   "vault.wrapping-token"
#define KEPT_SECRET_ID "vault.secret-id"
#define KEPT_ATTEMPT   "vault.unwrapping"

bool vault_path_matches(const char *path, const char *pattern)
{
	for (;;) {
		size_t part = strcspn(path, "/"), wanted = strcspn(pattern, "/");
		bool is_any = wanted == 1 && pattern[0] == '*' && part > 0;
		if (!is_any && (part != wanted || memcmp(path, pattern, part) != 0))
			return false;
		path += part;
		pattern += wanted;
		if (*path != *pattern)
			return false;
		if (*path == '\0')
			return true;
		path++;
		pattern++;
	}
}

static enum secret_outcome say_tampered(const struct vault_client *client, struct strbuf *why)
{
	event_emit(EVENT_ERROR, "vault-wrapping-tampered", client->run->request.head.unit,
		   "the wrapped secret_id for Vault may have been taken by somebody else: %s",
		   why->data);
	return SECRET_DENIED;
}

/* As the conf says, or as an AppRole's secret_id is made. */
static void expected_path(const struct vault_conf *conf, struct strbuf *buf)
{
	if (conf->wrapped_path)
		strbuf_adds(buf, conf->wrapped_path);
	else
		strbuf_addf(buf, "auth/%s/role/%s/secret-id", conf->mount,
			    conf->role ? conf->role : "*");
}

static char *token_body(const char *token)
{
	const char *const pairs[][2] = {{"token", token}};

	return vault_body(pairs, 1);
}

static enum secret_outcome check_wrapper(struct vault_client *client, const struct state *state,
					 struct strbuf *why)
{
	CLEANUP(vault_call_finish) struct vault_call call = {0};
	char wanted[VAULTREF_PATH_MAX + 64];
	struct strbuf buf;

	if (!vault_call_init(&call, client, "POST", "sys/wrapping/lookup",
			     token_body(client->conf->credential))) {
		strbuf_adds(why, "no memory");
		return SECRET_FAILED;
	}
	call.token = "";
	vault_call_run(&call, 1);
	if (call.status == 400 || call.status == 403) {
		size_t size;
		strbuf_adds(why, "its wrapping token was used before, or its time is over");
		if (state_get(state, KEPT_ATTEMPT, &size))
			strbuf_adds(why, " (an earlier try of this unit was cut off: it may have "
					 "been that one)");
		return say_tampered(client, why);
	}
	if (call.outcome != SECRET_OK) {
		strbuf_addf(why, "asking who wrapped the secret_id: %s", call.why);
		return call.outcome;
	}
	const char *path = decode_string(decode_member(call.json, "data"), "creation_path");
	strbuf_init(&buf, wanted, sizeof(wanted));
	expected_path(client->conf, &buf);
	if (path && vault_path_matches(path, wanted))
		return SECRET_OK;
	strbuf_addf(why, "it was not wrapped by %s", wanted);
	return say_tampered(client, why);
}

/* It works once: no second try by itself, and a first that was cut off is remembered. */
static enum secret_outcome take_out(struct vault_client *client, struct state *state,
				    char **ret_secret_id, struct strbuf *why)
{
	CLEANUP(vault_call_finish) struct vault_call call = {0};

	if (!vault_call_init(&call, client, "POST", "sys/wrapping/unwrap", NULL)) {
		strbuf_adds(why, "no memory");
		return SECRET_FAILED;
	}
	call.token = client->conf->credential;
	call.is_once = true;
	(void)state_set(state, KEPT_ATTEMPT, "", 0);
	(void)state_save(state);
	vault_call_run(&call, 1);
	if (call.status == 400 || call.status == 403) {
		strbuf_adds(why, "its wrapping token was used by somebody just now");
		return say_tampered(client, why);
	}
	if (call.outcome != SECRET_OK) {
		strbuf_addf(why, "unwrapping the secret_id: %s", call.why);
		return call.outcome;
	}
	const char *secret_id = decode_string(decode_member(call.json, "data"), "secret_id");
	*ret_secret_id = secret_id && secret_id[0] ? secmem_strdup(secret_id) : NULL;
	if (*ret_secret_id)
		return SECRET_OK;
	strbuf_adds(why, "what was wrapped is no secret_id");
	return SECRET_MALFORMED;
}

/* What an earlier run took out of the same wrapping token. */
static char *recall(const struct state *state, const char *wrapper)
{
	size_t wrapper_size = 0, size = 0;
	const char *kept_wrapper = state_get(state, KEPT_WRAPPER, &wrapper_size);
	const char *kept = state_get(state, KEPT_SECRET_ID, &size);

	if (!kept || !kept_wrapper || wrapper_size != strlen(wrapper) ||
	    memcmp(kept_wrapper, wrapper, wrapper_size) != 0 || size < 2 || kept[size - 1] != '\0')
		return NULL;
	return secmem_strdup(kept);
}

enum secret_outcome vault_unwrap(struct vault_client *client, struct state *state,
				 char **ret_secret_id, struct strbuf *why)
{
	const char *wrapper = client->conf->credential;

	*ret_secret_id = recall(state, wrapper);
	if (*ret_secret_id)
		return SECRET_OK;
	enum secret_outcome outcome = check_wrapper(client, state, why);
	if (outcome == SECRET_OK)
		outcome = take_out(client, state, ret_secret_id, why);
	if (outcome != SECRET_OK || !*ret_secret_id)
		return outcome;
	state_drop(state, KEPT_ATTEMPT);
	if (state_set(state, KEPT_WRAPPER, wrapper, strlen(wrapper)) < 0 ||
	    state_set(state, KEPT_SECRET_ID, *ret_secret_id, strlen(*ret_secret_id) + 1) < 0 ||
	    state_save(state) < 0)
		event_emit(EVENT_WARNING, "secrets-state-lost", client->run->request.head.unit,
			   "the unwrapped secret_id cannot be remembered: it cannot be had again");
	return SECRET_OK;
}
