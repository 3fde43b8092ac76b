#include "secrets/ssm.h"

#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/secretfile.h"
#include "secrets/aws.h"
#include "secrets/awscall.h"
#include "secrets/awsref.h"
#include "secrets/decode.h"
#include "secrets/secmem.h"

#define NAMES_PER_CALL 10
#define PAGES_MAX      1000

static const struct awscall_service service = {&endpoint_ssm, "AmazonSSM"};

static enum secret_outcome ssm_open(struct run *run, struct secret *secret, const char *rest,
				    struct strbuf *why)
{
	struct ssm_reference reference;

	(void)run;
	if (!ssm_parse(rest, secret->item.flags & SECRET_IS_PATH, &reference, why))
		return SECRET_MALFORMED;
	struct ssm_reference *mine = secmem_zalloc(1, sizeof(*mine));
	if (!mine) {
		secmem_free(reference.name);
		strbuf_adds(why, "out of memory");
		return SECRET_FAILED;
	}
	*mine = reference;
	secret->mine = mine;
	return SECRET_OK;
}

static void ssm_close(struct secret *secret)
{
	struct ssm_reference *mine = secret->mine;

	if (!mine)
		return;
	secmem_free(mine->name);
	secmem_free(mine);
	secret->mine = NULL;
}

static bool is_path(const struct secret *secret)
{
	return secret->item.flags & SECRET_IS_PATH;
}

static const char *name_of(const struct secret *secret)
{
	return ((const struct ssm_reference *)secret->mine)->name;
}

/* Both calls answer with a list: without one nothing can be said to be missing. */
static enum secret_outcome parameters_result(const struct awscall *call, cJSON **ret_reply,
					     struct strbuf *why)
{
	cJSON *reply;

	enum secret_outcome outcome = awscall_result(call, &reply, why);
	if (outcome != SECRET_OK)
		return outcome;
	if (!cJSON_IsArray(decode_member(reply, "Parameters"))) {
		strbuf_adds(why, "the reply has no list of parameters");
		cJSON_Delete(reply);
		return SECRET_TEMPORARY;
	}
	*ret_reply = reply;
	return SECRET_OK;
}

/* ---- by name */

/* The secrets of one call; several may be of one parameter. */
struct batch {
	const char *names[NAMES_PER_CALL];
	size_t lengths[NAMES_PER_CALL]; /* without selectors */
	size_t n;
	const char *region; /* of all of them; empty: ours */
};

static bool batch_has(const struct batch *batch, const char *name)
{
	for (size_t i = 0; i < batch->n; i++) {
		if (str_equal(batch->names[i], name))
			return true;
	}
	return false;
}

/* One parameter in two versions: of these a call takes one. */
static bool batch_takes(const struct batch *batch, const struct ssm_reference *reference)
{
	if (!str_equal(batch->region, reference->region))
		return false;
	for (size_t i = 0; i < batch->n; i++) {
		if (batch->lengths[i] == reference->length &&
		    memcmp(batch->names[i], reference->name, reference->length) == 0)
			return false;
	}
	return batch->n < NAMES_PER_CALL;
}

static bool some_batch_has(const struct batch *batches, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (batch_has(&batches[i], name))
			return true;
	}
	return false;
}

/* All names that are still to be had, per_call in each. How many batches. */
static size_t fill_batches(struct run *run, struct batch *batches, size_t per_call)
{
	struct secret *secret;
	uint32_t cursor = 0;
	size_t n = 0;

	while ((secret = run_next(run, &ssm_provider, &cursor))) {
		const struct ssm_reference *reference = secret->mine;
		size_t i = 0;
		if (is_path(secret) || some_batch_has(batches, n, reference->name))
			continue;
		while (i < n && (batches[i].n >= per_call || !batch_takes(&batches[i], reference)))
			i++;
		if (i == n)
			batches[n++] = (struct batch){.region = reference->region};
		struct batch *batch = &batches[i];
		batch->names[batch->n] = reference->name;
		batch->lengths[batch->n++] = reference->length;
	}
	return n;
}

static cJSON *names_body(const struct batch *batch)
{
	cJSON *body = cJSON_CreateObject();
	cJSON *names = cJSON_AddArrayToObject(body, "Names");

	for (size_t i = 0; i < batch->n; i++)
		(void)cJSON_AddItemToArray(names, cJSON_CreateString(batch->names[i]));
	(void)cJSON_AddTrueToObject(body, "WithDecryption");
	return body;
}

/* Whether the reply's parameter is what was asked for by name: Name and Selector, or ARN. */
static bool is_answer(const cJSON *parameter, const char *asked)
{
	static const char *const keys[] = {"Name", "ARN"};
	const char *selector = decode_string(parameter, "Selector");

	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		const char *name = decode_string(parameter, keys[i]);
		size_t n = name ? strlen(name) : 0;
		if (n == 0 || strncmp(asked, name, n) != 0)
			continue;
		const char *rest = asked + n;
		if (rest[0] == '\0')
			return true;
		if (rest[0] == ':' && selector &&
		    (str_equal(rest, selector) || str_equal(rest + 1, selector)))
			return true;
	}
	return false;
}

static void give(struct run *run, struct secret *secret, const cJSON *parameter)
{
	const char *value = decode_string(parameter, "Value");
	const char *type = decode_string(parameter, "Type");
	char version[32] = "";
	struct strbuf buf;
	int64_t number;

	if (!value) {
		run_fail(run, secret, SECRET_TEMPORARY, "the reply has no value for it");
		return;
	}
	if ((secret->item.flags & SECRET_IS_CONFIG) && type && str_equal(type, "SecureString")) {
		run_fail(run, secret, SECRET_MALFORMED,
			 "it is a SecureString, which is always secret: use Secret=");
		return;
	}
	strbuf_init(&buf, version, sizeof(version));
	if (decode_integer(parameter, "Version", &number))
		strbuf_addf(&buf, "%lld", (long long)number);
	run_give(run, secret, value, strlen(value), version);
}

static void give_batch(struct run *run, const struct batch *batch, const cJSON *reply)
{
	const cJSON *parameter;
	struct secret *secret;
	uint32_t cursor = 0;

	while ((secret = run_next(run, &ssm_provider, &cursor))) {
		if (is_path(secret) || !batch_has(batch, name_of(secret)))
			continue;
		decode_each(parameter, decode_member(reply, "Parameters"))
		{
			if (secret->is_done || !is_answer(parameter, name_of(secret)))
				continue;
			give(run, secret, parameter);
		}
		run_fail(run, secret, SECRET_NOT_FOUND,
			 "there is no such parameter in %s, or no such version of it",
			 batch->region[0] ? batch->region : aws_region());
	}
}

static void fail_batch(struct run *run, const struct batch *batch, enum secret_outcome outcome,
		       const char *why)
{
	struct secret *secret;
	uint32_t cursor = 0;

	while ((secret = run_next(run, &ssm_provider, &cursor))) {
		if (!is_path(secret) && batch_has(batch, name_of(secret)))
			run_fail(run, secret, outcome, "%s", why);
	}
}

/* One name that may not be read spoils all ten: these are asked for one by one afterwards. */
static bool is_worth_singles(const struct batch *batch, enum secret_outcome outcome)
{
	return batch->n > 1 && (outcome == SECRET_DENIED || outcome == SECRET_MALFORMED ||
				outcome == SECRET_NOT_FOUND);
}

static void settle_batch(struct run *run, const struct batch *batch, const struct awscall *call)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;
	cJSON *reply = NULL;

	strbuf_init(&why, text, sizeof(text));
	enum secret_outcome outcome = parameters_result(call, &reply, &why);
	if (outcome == SECRET_OK)
		give_batch(run, batch, reply);
	else if (!is_worth_singles(batch, outcome))
		fail_batch(run, batch, outcome, text);
	cJSON_Delete(reply);
}

static void call_batches(struct run *run, struct batch *batches, struct awscall *calls, size_t n)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;
	bool is_ready = true;

	for (size_t i = 0; i < n; i++) {
		is_ready &= awscall_init(&calls[i], &service, "GetParameters",
					 names_body(&batches[i])) == 0;
		calls[i].region = batches[i].region;
	}
	strbuf_init(&why, text, sizeof(text));
	enum secret_outcome outcome = is_ready ? awscall_run(run, calls, n, &why) : SECRET_FAILED;
	if (!is_ready)
		strbuf_adds(&why, "out of memory");
	if (outcome != SECRET_OK)
		run_fail_all(run, &ssm_provider, outcome, text);
	for (size_t i = 0; i < n; i++) {
		if (outcome == SECRET_OK)
			settle_batch(run, &batches[i], &calls[i]);
		awscall_finish(&calls[i]);
	}
}

static void fetch_names(struct run *run, size_t per_call)
{
	size_t max = run->request.count;

	CLEANUP(secmem_freep) struct batch *batches = secmem_zalloc(max, sizeof(*batches));
	if (!batches) {
		run_fail_all(run, &ssm_provider, SECRET_FAILED, "out of memory");
		return;
	}
	size_t n = fill_batches(run, batches, per_call);
	CLEANUP(secmem_freep)
	struct awscall *calls = n > 0 ? secmem_zalloc(n, sizeof(*calls)) : NULL;
	if (calls)
		call_batches(run, batches, calls, n);
	else if (n > 0)
		run_fail_all(run, &ssm_provider, SECRET_FAILED, "out of memory");
}

/* ---- by path */

/* How far a path was read. */
struct walk {
	struct secret *secret;
	char *token; /* of the next page; NULL: the first */
	unsigned n_pages;
};

static cJSON *page_body(const struct walk *walk)
{
	cJSON *body = cJSON_CreateObject();
	char path[AWSREF_NAME_MAX + 2];

	/* The service wants it without the slash at its end, but for the root. */
	(void)str_copy(path, sizeof(path), name_of(walk->secret));
	size_t length = strlen(path);
	if (length > 1)
		path[length - 1] = '\0';
	(void)cJSON_AddStringToObject(body, "Path", path);
	(void)cJSON_AddTrueToObject(body, "Recursive");
	(void)cJSON_AddTrueToObject(body, "WithDecryption");
	(void)cJSON_AddNumberToObject(body, "MaxResults", NAMES_PER_CALL);
	if (walk->token)
		(void)cJSON_AddStringToObject(body, "NextToken", walk->token);
	return body;
}

/* A file is called as the parameter, with dots for the slashes; a variable as run_map_name has it. */
static bool found_name(const struct secret *secret, const char *relative, char *to, size_t size)
{
	if (secret->item.delivery != SECRET_FILE)
		return run_map_name(relative, to, size);
	if (!str_copy(to, size, relative))
		return false;
	for (char *c = to; *c != '\0'; c++) {
		if (*c == '/')
			*c = '.';
	}
	return true;
}

static void give_found(struct run *run, struct secret *secret, const cJSON *parameter)
{
	const char *path = name_of(secret);
	const char *name = decode_string(parameter, "Name");
	const char *value = decode_string(parameter, "Value");
	char mapped[SECRETFILE_NAME_MAX + 1];

	if (!name || !value || !str_starts(name, path)) {
		run_fail(run, secret, SECRET_TEMPORARY, "the reply has what is not below the path");
		return;
	}
	if (!found_name(secret, name + strlen(path), mapped, sizeof(mapped))) {
		run_fail(run, secret, SECRET_MALFORMED, "no name can be made of %s", name);
		return;
	}
	run_give_found(run, secret, mapped, name, value, strlen(value));
}

static void end_walk(struct run *run, struct walk *walk)
{
	struct secret *secret = walk->secret;

	if (secret->report->length == 0)
		run_fail(run, secret, SECRET_NOT_FOUND, "there is no parameter below it in %s",
			 aws_region());
	run_give_end(run, secret, NULL);
}

static void take_page(struct run *run, struct walk *walk, const cJSON *reply)
{
	const cJSON *parameter;
	const char *token = decode_string(reply, "NextToken");

	decode_each(parameter, decode_member(reply, "Parameters"))
		give_found(run, walk->secret, parameter);
	if (walk->secret->is_done)
		return;
	if (!token || token[0] == '\0') {
		end_walk(run, walk);
		return;
	}
	if (++walk->n_pages == PAGES_MAX || (walk->token && str_equal(token, walk->token))) {
		run_fail(run, walk->secret, SECRET_TEMPORARY, "its pages have no end");
		return;
	}
	secmem_free(walk->token);
	walk->token = secmem_strdup(token);
	if (!walk->token)
		run_fail(run, walk->secret, SECRET_FAILED, "out of memory");
}

static void settle_page(struct run *run, struct walk *walk, const struct awscall *call)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;
	cJSON *reply = NULL;

	strbuf_init(&why, text, sizeof(text));
	enum secret_outcome outcome = parameters_result(call, &reply, &why);
	if (outcome == SECRET_OK)
		take_page(run, walk, reply);
	else
		run_fail(run, walk->secret, outcome, "%s", text);
	cJSON_Delete(reply);
}

/* One page of each path that is not at its end. */
static void turn_pages(struct run *run, struct walk *walks, struct awscall *calls, size_t n)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;
	size_t open[SECRETREQUEST_ITEMS_MAX], n_open = 0;
	bool is_ready = true;

	for (size_t i = 0; i < n; i++) {
		if (walks[i].secret->is_done)
			continue;
		is_ready &= awscall_init(&calls[n_open], &service, "GetParametersByPath",
					 page_body(&walks[i])) == 0;
		open[n_open++] = i;
	}
	strbuf_init(&why, text, sizeof(text));
	enum secret_outcome outcome =
		is_ready ? awscall_run(run, calls, n_open, &why) : SECRET_FAILED;
	if (!is_ready)
		strbuf_adds(&why, "out of memory");
	if (outcome != SECRET_OK)
		run_fail_all(run, &ssm_provider, outcome, text);
	for (size_t i = 0; i < n_open; i++) {
		if (outcome == SECRET_OK)
			settle_page(run, &walks[open[i]], &calls[i]);
		awscall_finish(&calls[i]);
	}
}

static bool some_open(const struct walk *walks, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!walks[i].secret->is_done)
			return true;
	}
	return false;
}

static void fetch_paths(struct run *run)
{
	uint32_t cursor = 0;
	size_t n = 0;

	while (run_next(run, &ssm_provider, &cursor))
		n++;
	if (n == 0)
		return;
	CLEANUP(secmem_freep) struct walk *walks = secmem_zalloc(n, sizeof(*walks));
	CLEANUP(secmem_freep) struct awscall *calls = secmem_zalloc(n, sizeof(*calls));
	if (!walks || !calls) {
		run_fail_all(run, &ssm_provider, SECRET_FAILED, "out of memory");
		return;
	}
	cursor = 0;
	for (size_t i = 0; i < n; i++)
		walks[i].secret = run_next(run, &ssm_provider, &cursor);
	while (some_open(walks, n))
		turn_pages(run, walks, calls, n);
	for (size_t i = 0; i < n; i++)
		secmem_free(walks[i].token);
}

static void ssm_fetch(struct run *run)
{
	fetch_names(run, NAMES_PER_CALL);
	fetch_names(run, 1);
	fetch_paths(run);
}

static const char *const schemes[] = {"ssm:", NULL};

const struct provider ssm_provider = {
	.schemes = schemes,
	.open = ssm_open,
	.prepare = aws_prepare,
	.fetch = ssm_fetch,
	.close = ssm_close,
};
