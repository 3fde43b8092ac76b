#include "secrets/vaultread.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/secretfile.h"
#include "secrets/secmem.h"
#include "secrets/vaultauth.h"

#define KEPT_LEASE    "vault.lease."
#define LEASE_VERSION 8 /* characters of a lease's id that tell it from others, for people */
#define KEYS_SHOWN    8

/* ---- which secrets are one read */

static bool is_same(const struct vaultref *a, const struct vaultref *b)
{
	return a->version == b->version && str_equal(a->path, b->path);
}

struct vault_read *vault_reads_group(struct run *run, const struct provider *provider,
				     size_t *ret_count)
{
	struct vault_read *reads = secmem_zalloc(run->request.count + 1, sizeof(*reads));
	struct secret *secret;
	uint32_t cursor = 0;
	size_t count = 0;

	while (reads && (secret = run_next(run, provider, &cursor))) {
		const struct vaultref *ref = secret->mine;
		size_t i = 0;
		while (i < count && !is_same(reads[i].ref, ref))
			i++;
		if (i == count)
			reads[count++].ref = ref;
	}
	*ret_count = count;
	return reads;
}

struct secret *vault_read_next(struct run *run, const struct provider *provider,
			       const struct vault_read *read, uint32_t *cursor)
{
	struct secret *secret;

	while ((secret = run_next(run, provider, cursor))) {
		if (is_same(secret->mine, read->ref))
			return secret;
	}
	return NULL;
}

/* ---- its lease, from run to run */

static void lease_name(const struct vault_read *read, char *name, size_t size)
{
	struct strbuf buf;

	strbuf_init(&buf, name, size);
	strbuf_addf(&buf, KEPT_LEASE "%s", read->ref->path);
}

void vault_read_recall(struct vault_read *read, const struct state *state, uint64_t now_us)
{
	char name[VAULTREF_PATH_MAX + sizeof(KEPT_LEASE)];
	size_t size = 0;

	lease_name(read, name, sizeof(name));
	const char *kept = state_get(state, name, &size);
	read->plan = VAULT_FETCH;
	if (!kept || size <= sizeof(read->lease) + 1 ||
	    size > sizeof(read->lease) + sizeof(read->lease_id) || kept[size - 1] != '\0')
		return;
	memcpy(&read->lease, kept, sizeof(read->lease));
	if (!lease_is_sound(&read->lease))
		return;
	(void)str_copy(read->lease_id, sizeof(read->lease_id), kept + sizeof(read->lease));
	read->is_leased = true;
	read->is_lost = lease_has_ended(&read->lease, now_us);
	if (!read->is_lost && !lease_is_due(&read->lease, now_us))
		read->plan = VAULT_KEEP;
	else if (!read->is_lost && read->lease.is_renewable)
		read->plan = VAULT_RENEW;
}

void vault_read_keep(const struct vault_read *read, struct state *state)
{
	char name[VAULTREF_PATH_MAX + sizeof(KEPT_LEASE)];
	char data[sizeof(read->lease) + sizeof(read->lease_id)];
	size_t length = strlen(read->lease_id) + 1;

	lease_name(read, name, sizeof(name));
	if (!read->is_leased) {
		state_drop(state, name);
		return;
	}
	memcpy(data, &read->lease, sizeof(read->lease));
	memcpy(data + sizeof(read->lease), read->lease_id, length);
	(void)state_set(state, name, data, sizeof(read->lease) + length);
}

static void take_lease(struct vault_read *read, const cJSON *json)
{
	const char *id = decode_string(json, "lease_id");
	int64_t seconds = 0;

	/* KV 1 names a duration and no lease: there is one only where it has an id. */
	read->is_leased = id && id[0] && str_copy(read->lease_id, sizeof(read->lease_id), id);
	if (!read->is_leased)
		return;
	(void)decode_integer(json, "lease_duration", &seconds);
	lease_start(&read->lease, clock_now_us(), (uint64_t)MAX(seconds, (int64_t)0),
		    decode_bool(json, "renewable"), vault_random());
	read->is_lost = false;
}

/* What stands in status and in the dump: the KV's version, or which lease it is. */
static void describe_version(const struct vault_read *read, const cJSON *metadata, char *text,
			     size_t size)
{
	struct strbuf buf;
	int64_t version;

	strbuf_init(&buf, text, size);
	if (read->is_leased) {
		size_t length = strlen(read->lease_id);
		strbuf_addf(&buf, "lease %s",
			    read->lease_id + (length > LEASE_VERSION ? length - LEASE_VERSION : 0));
	} else if (decode_integer(metadata, "version", &version)) {
		strbuf_addf(&buf, "%lld", (long long)version);
	}
}

static void mark_lease(const struct vault_read *read, struct secret *secret)
{
	uint64_t ms = lease_ms_until(read->lease.end_us, clock_now_us());

	if (read->is_leased && ms != UINT64_MAX)
		secret->report->lease_s = (uint32_t)MIN((ms + 999) / 1000, (uint64_t)UINT32_MAX);
}

/* ---- giving */

/* The reply of one read, as values are taken from it. */
struct answer {
	struct run *run;
	const struct vault_call *call;
	const char *path[4]; /* of the object that has the keys */
	size_t depth;
	char version[64];
};

static bool is_value(const struct decode_span *span)
{
	return span->length > 0 && span->text[0] != 'n';
}

static void give_span(const struct answer *answer, struct secret *secret, const char *key,
		      const struct decode_span *span)
{
	struct run *run = answer->run;
	size_t length = 0;

	if (!is_value(span)) {
		run_fail(run, secret, SECRET_MALFORMED, "the key %s of it is null", key);
		return;
	}
	CLEANUP(secmem_freep) char *value = decode_text(span, &length);
	if (!value)
		run_fail(run, secret, SECRET_FAILED, "no memory");
	else if (!(secret->item.flags & SECRET_IS_PATH))
		run_give(run, secret, value, length, answer->version);
	else {
		char name[SECRETFILE_NAME_MAX + 1];
		if (run_map_name(key, name, sizeof(name)))
			run_give_found(run, secret, name, key, value, length);
		else
			run_fail(run, secret, SECRET_MALFORMED,
				 "the key %s of it cannot be a variable's name", key);
	}
}

static bool find_object(const struct answer *answer, struct decode_span *ret_span)
{
	return decode_find(answer->call->reply, answer->call->reply_length, answer->path,
			   ret_span) &&
	       ret_span->length > 0 && ret_span->text[0] == '{';
}

static void give_path(const struct answer *answer, struct secret *secret)
{
	struct decode_span object, span;
	size_t cursor = 0;
	char *key;

	if (!find_object(answer, &object)) {
		run_fail(answer->run, secret, SECRET_MALFORMED, "it has no keys");
		return;
	}
	while (!secret->is_done && decode_next(&object, &cursor, &key, &span)) {
		give_span(answer, secret, key, &span);
		secmem_free(key);
	}
	run_give_end(answer->run, secret, answer->version);
}

/* Names may be said, values not. */
static void fail_key(const struct answer *answer, struct secret *secret, const char *key)
{
	struct decode_span object, span;
	char text[256];
	struct strbuf buf;
	size_t cursor = 0;
	char *name;

	strbuf_init(&buf, text, sizeof(text));
	if (find_object(answer, &object)) {
		for (int i = 0; decode_next(&object, &cursor, &name, &span); i++) {
			if (i < KEYS_SHOWN)
				strbuf_addf(&buf, "%s%s", i > 0 ? ", " : "; it has ", name);
			else if (i == KEYS_SHOWN)
				strbuf_adds(&buf, ", …");
			secmem_free(name);
		}
	}
	run_fail(answer->run, secret, SECRET_NOT_FOUND, "it has no key %s%s", key, text);
}

static void give_key(struct answer *answer, struct secret *secret)
{
	const struct vaultref *ref = secret->mine;
	struct decode_span span;

	answer->path[answer->depth] = ref->key;
	bool found =
		decode_find(answer->call->reply, answer->call->reply_length, answer->path, &span);
	answer->path[answer->depth] = NULL;
	if (found)
		give_span(answer, secret, ref->key, &span);
	else
		fail_key(answer, secret, ref->key);
}

void vault_read_give(struct vault_read *read, struct run *run, const struct provider *provider,
		     const struct vault_mount *mount, const struct vault_call *call)
{
	const cJSON *data = decode_member(call->json, "data");
	struct answer answer = {.run = run, .call = call, .path = {"data"}, .depth = 1};
	struct secret *secret;
	uint32_t cursor = 0;

	if (mount->is_v2)
		answer.path[answer.depth++] = "data";
	take_lease(read, call->json);
	describe_version(read, decode_member(data, "metadata"), answer.version,
			 sizeof(answer.version));
	while ((secret = vault_read_next(run, provider, read, &cursor))) {
		mark_lease(read, secret);
		if (secret->item.flags & SECRET_IS_PATH)
			give_path(&answer, secret);
		else
			give_key(&answer, secret);
	}
	read->plan = VAULT_DONE;
}

/* All of them or none: half of an old lease and half of a new one would be a user's name with
 * another's password. */
static bool has_old(const struct vault_read *read, struct run *run, const struct provider *provider)
{
	struct secretfile_record record;
	struct secret *secret;
	uint32_t cursor = 0;

	while ((secret = vault_read_next(run, provider, read, &cursor))) {
		if (!run->old)
			return false;
		if (!(secret->item.flags & (SECRET_IS_PATH | SECRET_OPTIONAL)) &&
		    secretfile_find(run->old, run->old_size, secret->item.name, &record) <= 0)
			return false;
	}
	return true;
}

bool vault_read_give_old(struct vault_read *read, struct run *run, const struct provider *provider)
{
	char version[64];
	struct secret *secret;
	uint32_t cursor = 0;

	if (!has_old(read, run, provider))
		return false;
	describe_version(read, NULL, version, sizeof(version));
	while ((secret = vault_read_next(run, provider, read, &cursor))) {
		mark_lease(read, secret);
		if (!run_give_old(run, secret, version))
			run_fail(run, secret, SECRET_NOT_FOUND, "it had no such key");
	}
	read->plan = VAULT_DONE;
	read->is_old = true;
	return true;
}

void vault_read_fail(struct vault_read *read, struct run *run, const struct provider *provider,
		     enum secret_outcome outcome, const char *why)
{
	struct secret *secret;
	uint32_t cursor = 0;

	while ((secret = vault_read_next(run, provider, read, &cursor))) {
		secret->is_over = read->is_lost;
		if (!read->is_lost)
			mark_lease(read, secret);
		run_fail(run, secret, outcome, "%s", why);
	}
	read->plan = VAULT_DONE;
}
