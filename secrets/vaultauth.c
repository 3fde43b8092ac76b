#include "secrets/vaultauth.h"

#include <string.h>
#include <sys/random.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "secrets/aws.h"
#include "secrets/secmem.h"
#include "secrets/vaultaws.h"
#include "secrets/vaultref.h"
#include "secrets/vaultwrap.h"

#define KEPT_TOKEN    "vault.token"
#define KEPT_ACCESSOR "vault.accessor"
#define KEPT_SESSION  "vault.session"

/* What the state has beside the token. */
struct kept_session {
	struct lease lease;
	uint32_t is_given;
	uint32_t reserved;
};

uint32_t vault_random(void)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) == sizeof(random))
		return random;
	return (uint32_t)clock_now_us() * 2654435761U;
}

/* ---- what the state remembers */

static void forget(struct vault_session *session)
{
	state_drop(session->state, KEPT_TOKEN);
	state_drop(session->state, KEPT_ACCESSOR);
	state_drop(session->state, KEPT_SESSION);
}

/* At once: should this run be killed, the next one shall not log in again. */
static void keep(struct vault_session *session)
{
	struct state *state = session->state;
	const struct kept_session kept = {session->lease, session->is_given, 0};
	const char *accessor = session->accessor ? session->accessor : "";

	if (state_set(state, KEPT_TOKEN, session->token, strlen(session->token) + 1) < 0 ||
	    state_set(state, KEPT_ACCESSOR, accessor, strlen(accessor) + 1) < 0 ||
	    state_set(state, KEPT_SESSION, &kept, sizeof(kept)) < 0 || state_save(state) < 0)
		event_emit(
			EVENT_WARNING, "secrets-state-lost",
			session->client->run->request.head.unit,
			"the session with Vault cannot be remembered: the next run logs in again");
}

/* A text that the state has, in memory of its own; NULL when it is none. */
static char *recall_text(const struct state *state, const char *name)
{
	size_t size = 0;
	const char *text = state_get(state, name, &size);

	return text && size > 1 && text[size - 1] == '\0' && strlen(text) == size - 1
		       ? secmem_strdup(text)
		       : NULL;
}

static bool recall(struct vault_session *session)
{
	struct kept_session kept;

	if (!state_get_exactly(session->state, KEPT_SESSION, &kept, sizeof(kept)) ||
	    !lease_is_sound(&kept.lease) || lease_has_ended(&kept.lease, clock_now_us()))
		return false;
	char *token = recall_text(session->state, KEPT_TOKEN);
	if (!token)
		return false;
	session->token = token;
	session->accessor = recall_text(session->state, KEPT_ACCESSOR);
	session->lease = kept.lease;
	session->is_given = kept.is_given;
	session->client->token = token;
	return true;
}

static void drop_token(struct vault_session *session)
{
	secmem_free(session->token);
	secmem_free(session->accessor);
	session->token = session->accessor = NULL;
	session->client->token = NULL;
}

/* ---- logging in */

typedef enum secret_outcome make_body(struct vault_session *session, char **ret_body,
				      struct strbuf *why);

static enum secret_outcome finish_body(char *body, char **ret_body, struct strbuf *why)
{
	*ret_body = body;
	if (body)
		return SECRET_OK;
	strbuf_adds(why, "no memory");
	return SECRET_FAILED;
}

static enum secret_outcome approle_body(struct vault_session *session, char **ret_body,
					struct strbuf *why)
{
	const struct vault_conf *conf = session->client->conf;
	CLEANUP(secmem_freep) char *unwrapped = NULL;
	const char *secret_id = conf->credential;

	if (conf->is_wrapped) {
		enum secret_outcome outcome =
			vault_unwrap(session->client, session->state, &unwrapped, why);
		if (outcome != SECRET_OK)
			return outcome;
		secret_id = unwrapped;
	}
	const char *const pairs[][2] = {{"role_id", conf->role_id}, {"secret_id", secret_id}};
	return finish_body(vault_body(pairs, ARRAY_COUNT(pairs)), ret_body, why);
}

static enum secret_outcome jwt_body(struct vault_session *session, char **ret_body,
				    struct strbuf *why)
{
	const struct vault_conf *conf = session->client->conf;
	const char *const pairs[][2] = {{"role", conf->role}, {"jwt", conf->credential}};

	return finish_body(vault_body(pairs, ARRAY_COUNT(pairs)), ret_body, why);
}

static enum secret_outcome cert_body(struct vault_session *session, char **ret_body,
				     struct strbuf *why)
{
	const char *const pairs[][2] = {{"name", session->client->conf->role}};

	return finish_body(vault_body(pairs, ARRAY_COUNT(pairs)), ret_body, why);
}

static enum secret_outcome aws_body(struct vault_session *session, char **ret_body,
				    struct strbuf *why)
{
	return vault_aws_body(session->client->run, session->client->conf, ret_body, why);
}

/* NULL: nobody logs in by it. */
static make_body *const login_bodies[VAULT_AUTH_COUNT] = {
	[VAULT_AUTH_APPROLE] = approle_body, [VAULT_AUTH_KUBERNETES] = jwt_body,
	[VAULT_AUTH_JWT] = jwt_body,	     [VAULT_AUTH_AWS] = aws_body,
	[VAULT_AUTH_CERT] = cert_body,
};

static bool can_log_in(const struct vault_session *session)
{
	return login_bodies[session->client->conf->auth] != NULL;
}

static bool is_token(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return length > 0 && length <= VAULT_TOKEN_MAX;
}

/* The auth{} of an answer. */
static enum secret_outcome take_auth(struct vault_session *session, const cJSON *json,
				     struct strbuf *why)
{
	const cJSON *auth = decode_member(json, "auth");
	const char *token = decode_string(auth, "client_token");
	const char *accessor = decode_string(auth, "accessor");
	int64_t seconds = 0;

	if (!is_token(token)) {
		strbuf_adds(why, "Vault's answer to the login has no token in it");
		return SECRET_UNREACHABLE;
	}
	(void)decode_integer(auth, "lease_duration", &seconds);
	drop_token(session);
	session->token = secmem_strdup(token);
	session->accessor = accessor ? secmem_strdup(accessor) : NULL;
	if (!session->token) {
		strbuf_adds(why, "no memory");
		return SECRET_FAILED;
	}
	session->client->token = session->token;
	lease_start(&session->lease, clock_now_us(), (uint64_t)MAX(seconds, (int64_t)0),
		    decode_bool(auth, "renewable"), vault_random());
	session->is_given = false;
	session->is_new = true;
	keep(session);
	return SECRET_OK;
}

static enum secret_outcome login_outcome(const struct vault_call *call)
{
	/* A bad role_id, secret_id, JWT or certificate is 400: who asks is refused, not how. */
	return call->status == 400   ? SECRET_DENIED
	       : call->status == 404 ? SECRET_MALFORMED
				     : call->outcome;
}

/* SECRET_OK when Vault was asked, whatever it has answered. */
static enum secret_outcome ask_to_log_in(struct vault_session *session, struct vault_call *call,
					 struct strbuf *why)
{
	const struct vault_conf *conf = session->client->conf;
	char path[VAULTREF_URL_MAX + 16], *body;
	struct strbuf buf;

	enum secret_outcome outcome = login_bodies[conf->auth](session, &body, why);
	if (outcome != SECRET_OK)
		return outcome;
	strbuf_init(&buf, path, sizeof(path));
	strbuf_adds(&buf, "auth/");
	vaultref_escape(&buf, conf->mount);
	strbuf_adds(&buf, "/login");
	if (!vault_call_init(call, session->client, "POST", path, body)) {
		strbuf_adds(why, "no memory");
		return SECRET_FAILED;
	}
	call->token = "";
	vault_call_run(call, 1);
	return SECRET_OK;
}

/* What Vault hands on to STS is signed for a time. STS does not answer us, but Vault's own clock is
 * as good: by it ours is corrected, and the second try is signed for the right one. */
static bool is_clock_wrong(const struct vault_session *session, const struct vault_call *call)
{
	return session->client->conf->auth == VAULT_AUTH_AWS &&
	       (call->status == 400 || call->status == 403) && aws_learn_time(call->date);
}

static enum secret_outcome log_in(struct vault_session *session, struct strbuf *why)
{
	const struct vault_conf *conf = session->client->conf;
	CLEANUP(vault_call_finish) struct vault_call call = {0};

	if (conf->auth_outcome != SECRET_OK) {
		strbuf_adds(why, conf->auth_why);
		return conf->auth_outcome;
	}
	enum secret_outcome outcome = ask_to_log_in(session, &call, why);
	if (outcome == SECRET_OK && is_clock_wrong(session, &call)) {
		vault_call_finish(&call);
		outcome = ask_to_log_in(session, &call, why);
	}
	if (outcome != SECRET_OK)
		return outcome;
	if (call.outcome != SECRET_OK) {
		strbuf_addf(why, "logging in to Vault by %s%s%s: %s", vault_auth_names[conf->auth],
			    conf->role ? " as role " : "", conf->role ? conf->role : "", call.why);
		return login_outcome(&call);
	}
	return take_auth(session, call.json, why);
}

/* ---- a token that was given */

/*
 * How long it lives only Vault knows. A policy may forbid asking: then nothing is known of its end,
 * and whether it is good at all the first secret tells.
 */
static enum secret_outcome look_up(struct vault_session *session, struct strbuf *why)
{
	CLEANUP(vault_call_finish) struct vault_call call = {0};
	int64_t left = 0, whole = 0;

	if (!vault_call_init(&call, session->client, "GET", "auth/token/lookup-self", NULL)) {
		strbuf_adds(why, "no memory");
		return SECRET_FAILED;
	}
	vault_call_run(&call, 1);
	if (call.outcome != SECRET_OK && call.outcome != SECRET_DENIED) {
		strbuf_adds(why, call.why);
		return call.outcome;
	}
	const cJSON *data = decode_member(call.json, "data");
	const char *accessor = decode_string(data, "accessor");
	(void)decode_integer(data, "ttl", &left);
	(void)decode_integer(data, "creation_ttl", &whole);
	secmem_free(session->accessor);
	session->accessor = accessor ? secmem_strdup(accessor) : NULL;
	lease_start(&session->lease, clock_now_us(), (uint64_t)MAX(left, (int64_t)0),
		    decode_bool(data, "renewable"), vault_random());
	session->lease.duration_us =
		MIN((uint64_t)MAX(whole, left), LEASE_SECONDS_MAX) * USEC_PER_SEC;
	return SECRET_OK;
}

static enum secret_outcome use_given(struct vault_session *session, struct strbuf *why)
{
	const struct vault_conf *conf = session->client->conf;
	const char *given = conf->credential;

	if (session->token && (!given || str_equal(session->token, given)))
		return SECRET_OK;
	if (!given) {
		strbuf_adds(why, conf->auth_why);
		return conf->auth_outcome;
	}
	drop_token(session);
	session->token = secmem_strdup(given);
	session->client->token = session->token;
	session->is_given = session->is_new = true;
	enum secret_outcome outcome = look_up(session, why);
	if (outcome == SECRET_OK)
		keep(session);
	return outcome;
}

/* ---- renewing */

static bool renew(struct vault_session *session, struct vault_call *call)
{
	char increment[32];
	struct strbuf buf;
	int64_t seconds = 0;

	strbuf_init(&buf, increment, sizeof(increment));
	strbuf_addf(&buf, "%llus", (unsigned long long)(session->lease.duration_us / USEC_PER_SEC));
	const char *const pairs[][2] = {{"increment", increment}};
	char *body = vault_body(pairs, 1);
	if (!body || !vault_call_init(call, session->client, "POST", "auth/token/renew-self", body))
		return false;
	vault_call_run(call, 1);
	if (call->outcome != SECRET_OK ||
	    !decode_integer(decode_member(call->json, "auth"), "lease_duration", &seconds))
		return false;
	return lease_renew(&session->lease, clock_now_us(), (uint64_t)MAX(seconds, (int64_t)0),
			   vault_random());
}

static bool may_pass(const struct vault_call *call)
{
	return call->outcome == SECRET_TEMPORARY || call->outcome == SECRET_UNREACHABLE;
}

/* Somebody has to bring another one, in the file perhaps: that is looked at again before the end. */
static void give_up_given(struct vault_session *session)
{
	struct lease *lease = &session->lease;
	uint64_t now_us = clock_now_us();
	uint64_t left_ms = lease_ms_until(lease->end_us, now_us);

	lease->is_renewable = false;
	lease->due_us =
		left_ms > 60000 ? now_us + (lease->end_us - now_us) / 10 * 9 : lease->end_us;
	event_emit(EVENT_WARNING, "vault-token-ends", session->client->run->request.head.unit,
		   "the token that was given for Vault cannot be renewed any further and ends in "
		   "%llu s: what was lent with it ends then too",
		   (unsigned long long)(left_ms / 1000));
}

static enum secret_outcome see_to_token(struct vault_session *session, struct strbuf *why)
{
	CLEANUP(vault_call_finish) struct vault_call call = {0};

	if (!lease_is_due(&session->lease, clock_now_us()))
		return SECRET_OK;
	if (session->lease.is_renewable && renew(session, &call)) {
		keep(session);
		return SECRET_OK;
	}
	/* While Vault cannot be asked, the old one is as good as it was. */
	if (session->lease.is_renewable && may_pass(&call))
		return SECRET_OK;
	if (can_log_in(session))
		return log_in(session, why);
	give_up_given(session);
	keep(session);
	return SECRET_OK;
}

/* ---- from outside */

enum secret_outcome vault_session_begin(struct vault_session *session, struct vault_client *client,
					struct state *state, struct strbuf *why)
{
	enum secret_outcome outcome = SECRET_OK;

	*session = (struct vault_session){.client = client, .state = state};
	client->other_secret = client->conf->credential;
	if (client->conf->auth == VAULT_AUTH_NONE) {
		session->lease = (struct lease){.due_us = LEASE_FOREVER, .end_us = LEASE_FOREVER};
		return SECRET_OK;
	}
	bool is_kept = recall(session);
	if (client->conf->auth == VAULT_AUTH_TOKEN)
		outcome = use_given(session, why);
	else if (!is_kept)
		return log_in(session, why);
	return outcome == SECRET_OK ? see_to_token(session, why) : outcome;
}

bool vault_session_replace(struct vault_session *session, struct strbuf *why)
{
	CLEANUP(vault_call_finish) struct vault_call call = {0};

	if (session->is_new || !can_log_in(session))
		return false;
	if (!vault_call_init(&call, session->client, "GET", "auth/token/lookup-self", NULL))
		return false;
	vault_call_run(&call, 1);
	return call.outcome == SECRET_DENIED && log_in(session, why) == SECRET_OK;
}

bool vault_session_resume(struct vault_session *session, struct vault_client *client,
			  struct state *state)
{
	*session = (struct vault_session){.client = client, .state = state};
	return recall(session);
}

enum secret_outcome vault_session_revoke(struct vault_session *session, struct strbuf *why)
{
	CLEANUP(vault_call_finish) struct vault_call call = {0};

	if (!vault_call_init(&call, session->client, "POST", "auth/token/revoke-self", NULL)) {
		strbuf_adds(why, "no memory");
		return SECRET_FAILED;
	}
	vault_call_run(&call, 1);
	if (call.outcome == SECRET_OK || call.outcome == SECRET_DENIED) {
		forget(session);
		return SECRET_OK;
	}
	strbuf_adds(why, call.why);
	return call.outcome;
}

bool vault_session_is_precious(const struct vault_session *session)
{
	return session->is_given && session->lease.is_renewable;
}

void vault_session_finish(struct vault_session *session)
{
	if (session->client)
		drop_token(session);
}
