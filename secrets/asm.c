#include "secrets/asm.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "lib/cleanup.h"
#include "secrets/aws.h"
#include "secrets/awscall.h"
#include "secrets/awsref.h"
#include "secrets/decode.h"
#include "secrets/shared.h"
#include "secrets/secmem.h"

#define IDS_PER_CALL   20
#define STATE_PREFIX   "asm/version/"
#define STATE_NO_BATCH "asm/no-batch"

static const struct awscall_service service = {&endpoint_secretsmanager, "secretsmanager"};

static enum secret_outcome asm_open(struct run *run, struct secret *secret, const char *rest,
				    struct strbuf *why)
{
	struct asm_reference reference;

	(void)run;
	if (secret->item.flags & (SECRET_IS_PATH | SECRET_IS_CONFIG)) {
		strbuf_adds(why,
			    secret->item.flags & SECRET_IS_PATH
				    ? "Secrets Manager has no paths: name its secrets with Secret="
				    : "what is in Secrets Manager is secret: use Secret=");
		return SECRET_MALFORMED;
	}
	if (!asm_parse(rest, &reference, why))
		return SECRET_MALFORMED;
	struct asm_reference *mine = secmem_zalloc(1, sizeof(*mine));
	if (!mine) {
		asm_reference_finish(&reference);
		strbuf_adds(why, "out of memory");
		return SECRET_FAILED;
	}
	*mine = reference;
	secret->mine = mine;
	return SECRET_OK;
}

static void asm_close(struct secret *secret)
{
	if (!secret->mine)
		return;
	asm_reference_finish(secret->mine);
	secmem_free(secret->mine);
	secret->mine = NULL;
}

/* ---- what has to be asked for: each secret in each version once, whatever keys are taken of it */

struct want {
	const struct asm_reference *reference;
	bool is_done, is_known, is_batched;
};

static bool texts_equal(const char *a, const char *b)
{
	return a == b || (a && b && str_equal(a, b));
}

static bool is_same(const struct asm_reference *a, const struct asm_reference *b)
{
	return str_equal(a->id, b->id) && texts_equal(a->stage, b->stage);
}

static size_t list_wants(struct run *run, struct want *wants)
{
	struct secret *secret;
	uint32_t cursor = 0;
	size_t n = 0;

	while ((secret = run_next(run, &asm_provider, &cursor))) {
		size_t i = 0;
		while (i < n && !is_same(wants[i].reference, secret->mine))
			i++;
		if (i == n)
			wants[n++] = (struct want){.reference = secret->mine};
	}
	return n;
}

static void fail_want(struct run *run, struct want *want, enum secret_outcome outcome,
		      const char *why)
{
	struct secret *secret;
	uint32_t cursor = 0;

	want->is_done = true;
	while ((secret = run_next(run, &asm_provider, &cursor))) {
		if (is_same(secret->mine, want->reference))
			run_fail(run, secret, outcome, "%s", why);
	}
}

/* ---- which version we have, for the next refresh */

/* Of one secret: what the service called its value, and what that was. The state may be ahead of the
 * values that the unit has, when a run failed at its end: so the hash decides whether it is current. */
struct known {
	char version[64];
	unsigned char hash[SHA256_DIGEST_LENGTH];
};

/* A newline at the end may have been taken off on delivery. */
static bool hash_value(const char *value, size_t length, unsigned char *to)
{
	unsigned n;

	if (length > 0 && value[length - 1] == '\n')
		length--;
	return EVP_Digest(value, length, to, &n, EVP_sha256(), NULL) == 1;
}

static bool state_name(const struct secret *secret, char *to, size_t size)
{
	struct strbuf buf;

	strbuf_init(&buf, to, size);
	strbuf_addf(&buf, STATE_PREFIX "%s", secret->item.reference);
	return !buf.is_cut;
}

static void deliver(struct run *run, struct secret *secret, const char *value, size_t length,
		    const char *version)
{
	struct known known = {0};
	char name[STATE_NAME_MAX + 1];

	if (version && str_copy(known.version, sizeof(known.version), version) &&
	    hash_value(value, length, known.hash) && state_name(secret, name, sizeof(name)))
		(void)state_set(&remote_state, name, &known, sizeof(known));
	run_give(run, secret, value, length, version);
}

/* Whether the value that the unit has is the one of the version that the state says. */
static bool is_current(const struct run *run, const struct secret *secret, const char *version)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];
	char name[STATE_NAME_MAX + 1];
	struct known known;
	const char *value;
	size_t length;

	return state_name(secret, name, sizeof(name)) &&
	       state_get_exactly(&remote_state, name, &known, sizeof(known)) &&
	       run_old_value(run, secret, &value, &length) && hash_value(value, length, hash) &&
	       memcmp(hash, known.hash, sizeof(hash)) == 0 && known.version[63] == '\0' &&
	       (!version || str_equal(version, known.version));
}

/* ---- values */

static void give_key(struct run *run, struct secret *secret, const char *text, const char *version)
{
	const struct asm_reference *reference = secret->mine;
	const char *const path[] = {reference->key, NULL};
	struct decode_span span;
	size_t length = strlen(text);
	char sentence[RUN_WHY_MAX];
	struct strbuf why;

	strbuf_init(&why, sentence, sizeof(sentence));
	if (!decode_check(text, length, &why)) {
		run_fail(run, secret, SECRET_MALFORMED, "a key of it was asked for, and %s",
			 sentence);
		return;
	}
	if (!decode_find(text, length, path, &span)) {
		run_fail(run, secret, SECRET_NOT_FOUND, "it has no key \"%s\"", reference->key);
		return;
	}
	if (span.text[0] == 'n') {
		run_fail(run, secret, SECRET_MALFORMED, "its key \"%s\" is null", reference->key);
		return;
	}
	char *value = decode_text(&span, &length);
	if (value)
		deliver(run, secret, value, length, version);
	else
		run_fail(run, secret, SECRET_FAILED, "out of memory");
	secmem_free(value);
}

static void give_binary(struct run *run, struct secret *secret, const char *base64,
			const char *version)
{
	const struct asm_reference *reference = secret->mine;
	size_t length;

	if (reference->key) {
		run_fail(run, secret, SECRET_MALFORMED, "it is binary and has no key \"%s\"",
			 reference->key);
		return;
	}
	char *value = decode_base64(base64, strlen(base64), &length);
	if (value)
		deliver(run, secret, value, length, version);
	else
		run_fail(run, secret, SECRET_TEMPORARY, "the reply has no base64 for it");
	secmem_free(value);
}

static void give(struct run *run, struct secret *secret, const cJSON *reply)
{
	const struct asm_reference *reference = secret->mine;
	const char *text = decode_string(reply, "SecretString");
	const char *base64 = decode_string(reply, "SecretBinary");
	const char *version = decode_string(reply, "VersionId");

	if (text && reference->key)
		give_key(run, secret, text, version);
	else if (text)
		deliver(run, secret, text, strlen(text), version);
	else if (base64)
		give_binary(run, secret, base64, version);
	else
		run_fail(run, secret, SECRET_TEMPORARY, "the reply has no value for it");
}

static void give_want(struct run *run, struct want *want, const cJSON *reply)
{
	struct secret *secret;
	uint32_t cursor = 0;

	want->is_done = true;
	while ((secret = run_next(run, &asm_provider, &cursor))) {
		if (is_same(secret->mine, want->reference))
			give(run, secret, reply);
	}
}

/* ---- calls */

/* Makes n calls; false when none could be made, and all that is left has failed. */
static bool make_calls(struct run *run, struct awscall *calls, size_t n, bool is_ready)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;

	strbuf_init(&why, text, sizeof(text));
	if (!is_ready)
		strbuf_adds(&why, "out of memory");
	enum secret_outcome outcome = is_ready ? awscall_run(run, calls, n, &why) : SECRET_FAILED;
	if (outcome != SECRET_OK)
		run_fail_all(run, &asm_provider, outcome, text);
	return outcome == SECRET_OK;
}

static void finish_calls(struct awscall *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		awscall_finish(&calls[i]);
	secmem_free(calls);
}

static struct awscall *make_room(struct run *run, size_t n)
{
	struct awscall *calls = secmem_zalloc(n, sizeof(*calls));

	if (!calls)
		run_fail_all(run, &asm_provider, SECRET_FAILED, "out of memory");
	return calls;
}

/* Calls operation once for each want that is neither done nor skipped. */
static void call_each(struct run *run, struct want *wants, size_t n, const char *operation,
		      cJSON *(*body)(const struct asm_reference *reference),
		      bool (*is_wanted)(const struct want *want),
		      void (*settle)(struct run *run, struct want *want,
				     const struct awscall *call))
{
	size_t n_calls = 0;
	bool is_ready = true;

	for (size_t i = 0; i < n; i++)
		n_calls += !wants[i].is_done && is_wanted(&wants[i]);
	struct awscall *calls = n_calls > 0 ? make_room(run, n_calls) : NULL;
	if (!calls)
		return;
	n_calls = 0;
	for (size_t i = 0; i < n; i++) {
		if (wants[i].is_done || !is_wanted(&wants[i]))
			continue;
		is_ready &= awscall_init(&calls[n_calls], &service, operation,
					 body(wants[i].reference)) == 0;
		calls[n_calls].region = wants[i].reference->region;
		calls[n_calls++].context = &wants[i];
	}
	if (make_calls(run, calls, n_calls, is_ready)) {
		for (size_t i = 0; i < n_calls; i++)
			settle(run, calls[i].context, &calls[i]);
	}
	finish_calls(calls, n_calls);
}

/* ---- one by one */

static cJSON *single_body(const struct asm_reference *reference)
{
	cJSON *body = cJSON_CreateObject();

	(void)cJSON_AddStringToObject(body, "SecretId", reference->id);
	if (reference->stage)
		(void)cJSON_AddStringToObject(body,
					      reference->is_version ? "VersionId" : "VersionStage",
					      reference->stage);
	return body;
}

static bool any(const struct want *want)
{
	(void)want;
	return true;
}

static void settle_single(struct run *run, struct want *want, const struct awscall *call)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;
	cJSON *reply = NULL;

	strbuf_init(&why, text, sizeof(text));
	enum secret_outcome outcome = awscall_result(call, &reply, &why);
	if (outcome == SECRET_OK)
		give_want(run, want, reply);
	else if (outcome == SECRET_NOT_FOUND)
		fail_want(run, want, outcome, "there is no such secret here, or no such version");
	else
		fail_want(run, want, outcome, text);
	cJSON_Delete(reply);
}

/* ---- twenty at once, of those whose current version is wanted */

static bool is_answer(const cJSON *value, const char *id)
{
	const char *name = decode_string(value, "Name");
	const char *arn = decode_string(value, "ARN");
	size_t n = strlen(id);

	/* An ARN may be asked for without the six random characters at its end. */
	return (name && str_equal(name, id)) ||
	       (arn && strncmp(arn, id, n) == 0 &&
		(arn[n] == '\0' || (arn[n] == '-' && strlen(arn + n) == 7)));
}

static void settle_values(struct run *run, struct want **wants, size_t n, const cJSON *reply)
{
	const cJSON *value;

	decode_each(value, decode_member(reply, "SecretValues"))
	{
		for (size_t i = 0; i < n; i++) {
			if (!wants[i]->is_done && is_answer(value, wants[i]->reference->id))
				give_want(run, wants[i], value);
		}
	}
}

/* What is said not to exist does not. All other refusals are asked about one by one, since then
 * they can be repeated, and say more. */
static void settle_errors(struct run *run, struct want **wants, size_t n, const cJSON *reply)
{
	const cJSON *error;

	decode_each(error, decode_member(reply, "Errors"))
	{
		const char *id = decode_string(error, "SecretId");
		const char *code = decode_string(error, "ErrorCode");
		for (size_t i = 0; id && code && i < n; i++) {
			if (!wants[i]->is_done && str_equal(id, wants[i]->reference->id) &&
			    str_equal(code, "ResourceNotFoundException"))
				fail_want(run, wants[i], SECRET_NOT_FOUND,
					  "there is no such secret here");
		}
	}
}

static void settle_batch(struct run *run, struct want **wants, size_t n, const struct awscall *call)
{
	static const char yes = 1;
	char text[RUN_WHY_MAX];
	struct strbuf why;
	cJSON *reply = NULL;

	/* Its quota is a hundredth of the single calls': what waits for it waits for nothing. */
	if (call->is_throttled)
		return;
	strbuf_init(&why, text, sizeof(text));
	enum secret_outcome outcome = awscall_result(call, &reply, &why);
	if (outcome == SECRET_OK) {
		settle_values(run, wants, n, reply);
		settle_errors(run, wants, n, reply);
	} else if (outcome == SECRET_DENIED) {
		/* It is an action of its own, which a policy may lack. */
		(void)state_set(&remote_state, STATE_NO_BATCH, &yes, 1);
	} else if (outcome != SECRET_MALFORMED && outcome != SECRET_NOT_FOUND) {
		for (size_t i = 0; i < n; i++)
			fail_want(run, wants[i], outcome, text);
	}
	cJSON_Delete(reply);
}

static cJSON *batch_body(struct want **wants, size_t n)
{
	cJSON *body = cJSON_CreateObject();
	cJSON *ids = cJSON_AddArrayToObject(body, "SecretIdList");

	for (size_t i = 0; i < n; i++)
		(void)cJSON_AddItemToArray(ids, cJSON_CreateString(wants[i]->reference->id));
	return body;
}

static void call_batches(struct run *run, struct want **list, size_t n)
{
	size_t n_calls = (n + IDS_PER_CALL - 1) / IDS_PER_CALL;
	struct awscall *calls = make_room(run, n_calls);
	bool is_ready = true;

	if (!calls)
		return;
	for (size_t i = 0; i < n_calls; i++) {
		size_t first = i * IDS_PER_CALL;
		is_ready &= awscall_init(&calls[i], &service, "BatchGetSecretValue",
					 batch_body(list + first,
						    MIN(n - first, (size_t)IDS_PER_CALL))) == 0;
		calls[i].region = list[0]->reference->region;
		calls[i].has_other_way = true;
	}
	if (make_calls(run, calls, n_calls, is_ready)) {
		for (size_t i = 0; i < n_calls; i++) {
			size_t first = i * IDS_PER_CALL;
			settle_batch(run, list + first, MIN(n - first, (size_t)IDS_PER_CALL),
				     &calls[i]);
		}
	}
	finish_calls(calls, n_calls);
}

/* Of those from wants[first] on whose current version is wanted, the ones of its region. */
static size_t list_region(struct want *wants, size_t first, size_t n, struct want **list)
{
	size_t n_list = 0;

	for (size_t i = first; i < n; i++) {
		if (!wants[i].is_done && !wants[i].is_batched && !wants[i].reference->stage &&
		    str_equal(wants[i].reference->region, wants[first].reference->region)) {
			wants[i].is_batched = true;
			list[n_list++] = &wants[i];
		}
	}
	return n_list;
}

static void fetch_batches(struct run *run, struct want *wants, size_t n)
{
	size_t size;

	CLEANUP(secmem_freep) struct want **list = secmem_zalloc(n ? n : 1, sizeof(*list));
	for (size_t i = 0; list && i < n; i++) {
		if (state_get(&remote_state, STATE_NO_BATCH, &size))
			return;
		/* For one the other call is as good, and everybody may make it. */
		size_t n_list = list_region(wants, i, n, list);
		if (n_list > 1)
			call_batches(run, list, n_list);
	}
}

/* ---- has it changed? */

/* The one of VersionIdsToStages that has the stage. */
static const char *version_with(const cJSON *reply, const char *stage)
{
	const cJSON *version, *name;

	decode_each(version, decode_member(reply, "VersionIdsToStages"))
	{
		decode_each(name, version)
		{
			if (cJSON_IsString(name) && str_equal(name->valuestring, stage))
				return version->string;
		}
	}
	return NULL;
}

/* All that is made of it is what this version has; NULL: whichever the state says. */
static bool want_is_current(struct run *run, const struct want *want, const char *version)
{
	struct secret *secret;
	uint32_t cursor = 0;

	while ((secret = run_next(run, &asm_provider, &cursor))) {
		if (is_same(secret->mine, want->reference) && !is_current(run, secret, version))
			return false;
	}
	return true;
}

static void keep_want(struct run *run, struct want *want, const char *version)
{
	struct secret *secret;
	uint32_t cursor = 0;

	if (!want_is_current(run, want, version))
		return;
	want->is_done = true;
	while ((secret = run_next(run, &asm_provider, &cursor))) {
		if (is_same(secret->mine, want->reference) && !run_give_old(run, secret, version))
			want->is_done = false;
	}
}

static cJSON *describe_body(const struct asm_reference *reference)
{
	cJSON *body = cJSON_CreateObject();

	(void)cJSON_AddStringToObject(body, "SecretId", reference->id);
	return body;
}

static bool is_to_describe(const struct want *want)
{
	return !want->reference->is_version && want->is_known;
}

/* Whatever goes wrong here: then it is fetched, and what is wrong is said there. */
static void settle_describe(struct run *run, struct want *want, const struct awscall *call)
{
	const char *stage = want->reference->stage ? want->reference->stage : "AWSCURRENT";
	char text[RUN_WHY_MAX];
	struct strbuf why;
	cJSON *reply = NULL;

	strbuf_init(&why, text, sizeof(text));
	if (awscall_result(call, &reply, &why) == SECRET_OK) {
		const char *version = version_with(reply, stage);
		if (version)
			keep_want(run, want, version);
	}
	cJSON_Delete(reply);
}

/* Those that the state knows are asked about, one cheap call each. */
static void keep_unchanged(struct run *run, struct want *wants, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* What a version's id names never changes. */
		if (wants[i].reference->is_version)
			keep_want(run, &wants[i], wants[i].reference->stage);
		wants[i].is_known = want_is_current(run, &wants[i], NULL);
	}
	call_each(run, wants, n, "DescribeSecret", describe_body, is_to_describe, settle_describe);
}

static void asm_fetch(struct run *run)
{
	CLEANUP(secmem_freep)
	struct want *wants = secmem_zalloc(run->request.count, sizeof(*wants));
	if (!wants) {
		run_fail_all(run, &asm_provider, SECRET_FAILED, "out of memory");
		return;
	}
	size_t n = list_wants(run, wants);
	if (run->request.head.operation == SECRETS_REFRESH)
		keep_unchanged(run, wants, n);
	fetch_batches(run, wants, n);
	call_each(run, wants, n, "GetSecretValue", single_body, any, settle_single);
}

static const char *const schemes[] = {"asm:", NULL};

const struct provider asm_provider = {
	.schemes = schemes,
	.open = asm_open,
	.prepare = aws_prepare,
	.fetch = asm_fetch,
	.close = asm_close,
};
