/*
 * vault:MOUNT/PATH#KEY.
 *
 * A run has one session (vaultauth.h) and one read for each path (vaultread.h). In a fetch all is
 * read; what was leased before is forgotten, since whoever had it is gone. In a refresh what has no
 * lease is read again, and of what has one only that which is due is looked at: it is renewed, or
 * fetched anew where it no longer extends. While Vault cannot be asked, the unit keeps what it has, until
 * the lease of that has ended.
 *
 * Leases end with the token that they were made with, so a new session means that all of them are
 * fetched anew. The old token is left to end by itself: the service may still use what it was lent.
 */
#include "secrets/vault.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "secrets/aws.h"
#include "secrets/secmem.h"
#include "secrets/shared.h"
#include "secrets/vaultauth.h"
#include "secrets/vaultread.h"

#define BATCH	     32	  /* replies that are held at a time */
#define AGAIN_MIN_MS 5000 /* after a failure, when something is leased */
#define AGAIN_MAX_MS 60000

static struct vault {
	struct run *run;
	struct vault_conf conf;
	struct vault_client client;
	struct vault_session session;
	struct vault_mounts mounts;
	struct vault_read *reads;
	size_t count;
	bool is_replaced;	     /* the session, in the middle of a run */
	enum secret_outcome outcome; /* of reading the conf, with text */
	char text[RUN_WHY_MAX];
} vault;

static struct strbuf begin_why(void)
{
	struct strbuf why;

	strbuf_init(&why, vault.text, sizeof(vault.text));
	return why;
}

/* ---- references */

static enum secret_outcome open_vault(struct run *run, struct secret *secret, const char *rest,
				      struct strbuf *why)
{
	struct vaultref *ref = secmem_zalloc(1, sizeof(*ref));

	(void)run;
	if (!ref) {
		strbuf_adds(why, "no memory");
		return SECRET_FAILED;
	}
	if (!vaultref_parse(rest, !(secret->item.flags & SECRET_IS_PATH), ref, why)) {
		secmem_free(ref);
		return SECRET_MALFORMED;
	}
	secret->mine = ref;
	return SECRET_OK;
}

static void close_vault(struct secret *secret)
{
	secmem_free(secret->mine);
	secret->mine = NULL;
}

/* What is wrong is said in fetch(): a refresh has leases to see to all the same. */
static void prepare(struct run *run)
{
	struct strbuf why = begin_why();

	vault.run = run;
	vault.outcome = vault_conf_read(&vault.conf, run, &why);
	if (vault.conf.auth == VAULT_AUTH_AWS)
		aws_prepare(run);
	vault.client = (struct vault_client){.conf = &vault.conf, .run = run};
	(void)str_copy(vault.client.address, sizeof(vault.client.address), vault.conf.address);
	if (vault.outcome == SECRET_OK && vault.conf.tls.is_unverified)
		event_emit(EVENT_WARNING, "vault-unverified", run->request.head.unit,
			   "the certificate of Vault is not checked, as VaultSkipVerify= of "
			   "holdfast.conf has it: whoever stands between reads the secrets");
}

/* ---- leases that are due */

static void fail_read(struct vault_read *read, enum secret_outcome outcome, const char *why)
{
	const struct vault_conf *conf = &vault.conf;
	char text[RUN_WHY_MAX];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	strbuf_adds(&buf, why);
	if (outcome == SECRET_DENIED && conf->auth != VAULT_AUTH_NONE)
		strbuf_addf(&buf, " (with a token by %s%s%s)", vault_auth_names[conf->auth],
			    conf->role ? ", role " : "", conf->role ? conf->role : "");
	vault_read_fail(read, vault.run, &vault_provider, outcome, text);
}

static bool may_pass(const struct vault_call *call)
{
	return call->outcome == SECRET_TEMPORARY || call->outcome == SECRET_UNREACHABLE;
}

static bool is_extended(struct vault_read *read, const struct vault_call *call)
{
	int64_t seconds;

	return call->outcome == SECRET_OK &&
	       decode_integer(call->json, "lease_duration", &seconds) &&
	       lease_renew(&read->lease, clock_now_us(), (uint64_t)MAX(seconds, (int64_t)0),
			   vault_random());
}

static void renew(struct vault_read *read)
{
	CLEANUP(vault_call_finish) struct vault_call call = {0};
	char increment[32];
	struct strbuf buf;

	strbuf_init(&buf, increment, sizeof(increment));
	strbuf_addf(&buf, "%llus", (unsigned long long)(read->lease.duration_us / USEC_PER_SEC));
	const char *const pairs[][2] = {{"lease_id", read->lease_id}, {"increment", increment}};
	char *body = vault_body(pairs, ARRAY_COUNT(pairs));
	read->plan = VAULT_FETCH;
	if (!body || !vault_call_init(&call, &vault.client, "PUT", "sys/leases/renew", body))
		return;
	vault_call_run(&call, 1);
	if (is_extended(read, &call))
		read->plan = VAULT_KEEP;
	/* Nothing else could be asked for now either, and the lease still holds. */
	else if (may_pass(&call))
		fail_read(read, call.outcome, call.why);
}

static bool is_refresh(void)
{
	return vault.run->request.head.operation == SECRETS_REFRESH;
}

static void plan_reads(void)
{
	uint64_t now_us = clock_now_us();

	for (size_t i = 0; is_refresh() && i < vault.count; i++) {
		struct vault_read *read = &vault.reads[i];
		vault_read_recall(read, &remote_state, now_us);
		if (vault.session.is_new)
			read->plan = VAULT_FETCH;
		if (read->plan == VAULT_RENEW)
			renew(read);
		if (read->plan == VAULT_KEEP &&
		    !vault_read_give_old(read, vault.run, &vault_provider))
			read->plan = VAULT_FETCH;
	}
}

/* ---- reading */

/* Of a session that was kept an answer of 403 may mean that it was revoked: then it is replaced, once,
 * and what was refused is asked for again. */
static bool replace_session(void)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;

	strbuf_init(&why, text, sizeof(text));
	if (!vault.is_replaced)
		vault.is_replaced = vault_session_replace(&vault.session, &why);
	return vault.is_replaced;
}

static void ask_again(struct vault_call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (calls[i].status == 403 && replace_session())
			vault_call_run(&calls[i], 1);
	}
}

static enum secret_outcome find_url(const struct vault_read *read, struct strbuf *url,
				    const struct vault_mount **ret_mount)
{
	const char *path = read->ref->path;
	struct strbuf why = begin_why();

	enum secret_outcome outcome =
		vault_mount_find(&vault.mounts, &vault.client, path, ret_mount, &why);
	if (outcome == SECRET_DENIED && replace_session()) {
		why = begin_why();
		outcome = vault_mount_find(&vault.mounts, &vault.client, path, ret_mount, &why);
	}
	if (outcome != SECRET_OK)
		return outcome;
	return vault_mount_url(*ret_mount, read->ref, url, &why) ? SECRET_OK : SECRET_MALFORMED;
}

static bool init_call(struct vault_read *read, struct vault_call *call,
		      const struct vault_mount **ret_mount)
{
	char url[VAULTREF_URL_MAX + 64];
	struct strbuf buf;

	strbuf_init(&buf, url, sizeof(url));
	enum secret_outcome outcome = find_url(read, &buf, ret_mount);
	if (outcome != SECRET_OK) {
		fail_read(read, outcome, vault.text);
		return false;
	}
	if (vault_call_init(call, &vault.client, "GET", url, NULL))
		return true;
	fail_read(read, SECRET_FAILED, "no memory");
	return false;
}

/* KV 2 tells what was deleted from what never was. */
static void fail_missing(struct vault_read *read, const struct vault_call *call)
{
	const cJSON *metadata = decode_member(decode_member(call->json, "data"), "metadata");
	const char *deleted = decode_string(metadata, "deletion_time");
	struct strbuf why = begin_why();
	int64_t version = 0;

	if (!metadata) {
		fail_read(read, call->outcome, call->why);
		return;
	}
	(void)decode_integer(metadata, "version", &version);
	strbuf_addf(&why, "its version %lld was %s", (long long)version,
		    decode_bool(metadata, "destroyed") ? "destroyed" : "deleted");
	if (deleted && strlen(deleted) < 40)
		strbuf_addf(&why, " at %s", deleted);
	vault_read_fail(read, vault.run, &vault_provider, SECRET_NOT_FOUND, vault.text);
}

static void settle(struct vault_read *read, const struct vault_mount *mount,
		   const struct vault_call *call)
{
	if (call->outcome == SECRET_OK)
		vault_read_give(read, vault.run, &vault_provider, mount, call);
	else if (call->status == 404)
		fail_missing(read, call);
	else
		fail_read(read, call->outcome, call->why);
}

static void read_batch(struct vault_read **batch, size_t n)
{
	const struct vault_mount *mounts[BATCH];
	static struct vault_call calls[BATCH];
	struct vault_read *asked[BATCH];
	size_t ready = 0;

	for (size_t i = 0; i < n; i++) {
		if (!init_call(batch[i], &calls[ready], &mounts[ready]))
			continue;
		asked[ready++] = batch[i];
	}
	vault_call_run(calls, ready);
	ask_again(calls, ready);
	for (size_t i = 0; i < ready; i++) {
		settle(asked[i], mounts[i], &calls[i]);
		vault_call_finish(&calls[i]);
	}
}

static void read_all(void)
{
	struct vault_read *batch[BATCH];
	size_t n = 0;

	for (size_t i = 0; i < vault.count; i++) {
		if (vault.reads[i].plan == VAULT_FETCH)
			batch[n++] = &vault.reads[i];
		if (n == BATCH || (n > 0 && i + 1 == vault.count)) {
			read_batch(batch, n);
			n = 0;
		}
	}
}

/* ---- what comes next */

/* A lease that is due already could not be seen to: again before it ends, and not at once. */
static uint64_t next_of(const struct lease *lease, uint64_t now_us)
{
	uint64_t due = lease_ms_until(lease->due_us, now_us);
	uint64_t left = lease_ms_until(lease->end_us, now_us);

	if (due > 0)
		return due;
	return MIN(MAX(left / 10, (uint64_t)AGAIN_MIN_MS), (uint64_t)AGAIN_MAX_MS);
}

static void plan_next(void)
{
	uint64_t now_us = clock_now_us();
	bool is_leased = false;

	for (size_t i = 0; i < vault.count; i++) {
		struct vault_read *read = &vault.reads[i];
		/* What was kept ended with the session that was lost: it is fetched in the next run. */
		if (vault.is_replaced && read->is_old) {
			read->is_leased = false;
			run_again_in(vault.run, AGAIN_MIN_MS);
		}
		vault_read_keep(read, &remote_state);
		if (!read->is_leased)
			continue;
		is_leased = true;
		run_again_in(vault.run, next_of(&read->lease, now_us));
		run_lease_ends_in(vault.run, lease_ms_until(read->lease.end_us, now_us));
	}
	const struct lease *token = &vault.session.lease;
	if (!is_leased && !vault_session_is_precious(&vault.session))
		return;
	run_again_in(vault.run, next_of(token, now_us));
	if (is_leased)
		run_lease_ends_in(vault.run, lease_ms_until(token->end_us, now_us));
}

static void finish(void)
{
	vault_session_finish(&vault.session);
	secmem_free(vault.reads);
	vault.reads = NULL;
	vault_conf_finish(&vault.conf);
}

static void fail_reads(enum secret_outcome outcome)
{
	for (size_t i = 0; i < vault.count; i++) {
		struct vault_read *read = &vault.reads[i];
		if (is_refresh())
			vault_read_recall(read, &remote_state, clock_now_us());
		vault_read_fail(read, vault.run, &vault_provider, outcome, vault.text);
	}
}

static void fetch(struct run *run)
{
	enum secret_outcome outcome = vault.outcome;

	vault.reads = vault_reads_group(run, &vault_provider, &vault.count);
	if (!vault.reads) {
		run_fail_all(run, &vault_provider, SECRET_FAILED, "no memory");
		return;
	}
	if (outcome == SECRET_OK) {
		struct strbuf why = begin_why();
		outcome = vault_session_begin(&vault.session, &vault.client, &remote_state, &why);
	}
	if (outcome == SECRET_OK) {
		plan_reads();
		read_all();
	} else {
		fail_reads(outcome);
	}
	plan_next();
	finish();
}

/* ---- giving back */

static void give_back(void)
{
	const char *unit = vault.run->request.head.unit;
	struct strbuf why = begin_why();

	if (vault_session_revoke(&vault.session, &why) == SECRET_OK)
		event_emit(EVENT_INFO, "vault-revoked", unit,
			   "the unit's token for Vault, and what was lent with it, is given back");
	else
		event_emit(EVENT_WARNING, "vault-not-revoked", unit,
			   "the unit's token for Vault cannot be given back and ends by itself: %s",
			   vault.text);
}

static void revoke(struct run *run)
{
	(void)run;
	if (vault.outcome == SECRET_OK &&
	    vault_session_resume(&vault.session, &vault.client, &remote_state) &&
	    !vault.session.is_given)
		give_back();
	finish();
}

static const char *const schemes[] = {"vault:", NULL};

const struct provider vault_provider = {
	.schemes = schemes,
	.open = open_vault,
	.prepare = prepare,
	.fetch = fetch,
	.revoke = revoke,
	.close = close_vault,
};
