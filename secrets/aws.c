#include "secrets/aws.h"
#include "secrets/awsref.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "secrets/awserror.h"
#include "secrets/decode.h"
#include "secrets/endpoint.h"
#include "secrets/imds.h"
#include "secrets/shared.h"
#include "secrets/secmem.h"

#define KEY_MAX	  256
#define TOKEN_MAX 8192
#define FILE_MAX  (1U << 20) /* a CA bundle; a token is smaller */
/* Before they end, credentials are no longer taken from the state where better can be had; and then
 * not where none can be had either. */
#define ADVISORY_S     (15 * 60)
#define MANDATORY_S    (10 * 60)
#define SKEW_S	       240 /* AWS forgives five minutes */
#define CONTAINER_HOST "http://169.254.170.2"

#define STATE_CREDENTIALS "aws/credentials"
#define STATE_CLOCK	  "aws/clock"

/* As the state keeps them. */
struct kept {
	char source[32];
	char access_key[KEY_MAX], secret_key[KEY_MAX], token[TOKEN_MAX];
	char who[512];	 /* aws_identity() */
	int64_t expires; /* Unix seconds; 0: never */
};

static struct {
	bool is_prepared, is_begun, is_from_state;
	enum secret_outcome outcome; /* of preparing, and then of beginning */
	char why[RUN_WHY_MAX];
	char region[64];
	struct kept kept;
	struct sign_credentials credentials;
	struct http_tls tls;
	char *ca_pem, *identity, *authorization;
	int64_t offset_s;
} aws;

/* ---- the first half */

static char *read_named(struct run *run, const char *setting, size_t *ret_length)
{
	const char *path = run_setting(run, setting);
	struct strbuf why;

	if (!path || aws.outcome != SECRET_OK)
		return NULL;
	strbuf_init(&why, aws.why, sizeof(aws.why));
	strbuf_addf(&why, "%s: ", setting);
	char *text = remote_read_file(path, FILE_MAX, ret_length, &why);
	if (!text)
		aws.outcome = SECRET_DENIED;
	return text;
}

void aws_prepare(struct run *run)
{
	size_t length;

	if (aws.is_prepared)
		return;
	aws.is_prepared = true;
	aws.ca_pem = read_named(run, "AWS_CA_BUNDLE", &aws.tls.ca_length);
	aws.tls.ca_pem = aws.ca_pem;
	/* What comes first in the chain makes what comes later unneeded. */
	if (run_setting(run, "AWS_ACCESS_KEY_ID"))
		return;
	aws.identity = read_named(run, "AWS_WEB_IDENTITY_TOKEN_FILE", &length);
	if (!run_setting(run, "AWS_WEB_IDENTITY_TOKEN_FILE"))
		aws.authorization =
			read_named(run, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &length);
}

/* ---- time */

int64_t aws_now(void)
{
	return (int64_t)(clock_wall_us() / USEC_PER_SEC) + aws.offset_s;
}

bool aws_learn_time(int64_t date)
{
	int64_t off = date - aws_now();

	if (date == 0 || (off < SKEW_S && off > -SKEW_S))
		return false;
	aws.offset_s += off;
	(void)state_set(&remote_state, STATE_CLOCK, &aws.offset_s, sizeof(aws.offset_s));
	event_with_i64("seconds", aws.offset_s);
	event_emit(
		EVENT_WARNING, "clock-skewed", NULL,
		"the clock of this machine is %lld s off: what AWS checks is signed for the time "
		"that the service has",
		(long long)-aws.offset_s);
	return true;
}

/* ---- what the sources say */

static bool keep_text(char *to, size_t size, const char *from)
{
	return from && from[0] != '\0' && str_copy(to, size, from);
}

/* It goes into messages. */
static void name_identity(struct kept *kept, const char *what, const char *name)
{
	struct strbuf buf;

	strbuf_init(&buf, kept->who, sizeof(kept->who));
	strbuf_addf(&buf, "%s%.400s", what, name ? name : "");
	for (char *c = kept->who; *c != '\0'; c++) {
		if (*c < ' ' || *c > '~')
			*c = '?';
	}
}

static enum secret_outcome from_environment(struct run *run, struct kept *kept, struct strbuf *why)
{
	const char *id = run_setting(run, "AWS_ACCESS_KEY_ID");
	const char *key = run_setting(run, "AWS_SECRET_ACCESS_KEY");
	const char *token = run_setting(run, "AWS_SESSION_TOKEN");

	if (!keep_text(kept->access_key, sizeof(kept->access_key), id) ||
	    !keep_text(kept->secret_key, sizeof(kept->secret_key), key)) {
		strbuf_adds(why,
			    "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not, or one "
			    "of them is too long");
		return SECRET_DENIED;
	}
	if (token && !keep_text(kept->token, sizeof(kept->token), token)) {
		strbuf_adds(why, "AWS_SESSION_TOKEN is too long");
		return SECRET_DENIED;
	}
	name_identity(kept, "whoever has AWS_ACCESS_KEY_ID=", id);
	return SECRET_OK;
}

/* application/x-www-form-urlencoded */
static void add_form(struct strbuf *buf, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789-_.~";

	for (; *text != '\0'; text++) {
		if (strchr(plain, *text))
			strbuf_addc(buf, *text);
		else
			strbuf_addf(buf, "%%%02X", (unsigned char)*text);
	}
}

static int prepare_form(struct http_call *call)
{
	int r = http_header(call, "Content-Type", "application/x-www-form-urlencoded");

	return r < 0 ? r : http_header(call, "Accept", "application/xml");
}

static char *identity_form(struct run *run, const char *role, size_t *ret_length)
{
	const char *session = run_setting(run, "AWS_ROLE_SESSION_NAME");
	size_t size = 1024 + 3 * (strlen(role) + strlen(aws.identity));
	char fallback[64];
	struct strbuf buf;

	if (!session) {
		(void)snprintf(fallback, sizeof(fallback), "holdfast-%lld", (long long)aws_now());
		session = fallback;
	}
	char *form = secmem_alloc(size);
	if (!form)
		return NULL;
	strbuf_init(&buf, form, size);
	strbuf_adds(&buf, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=");
	add_form(&buf, role);
	strbuf_adds(&buf, "&RoleSessionName=");
	add_form(&buf, session);
	strbuf_adds(&buf, "&WebIdentityToken=");
	add_form(&buf, aws.identity);
	*ret_length = buf.length;
	return form;
}

/* The code of a refusal; false when there is none. */
static bool identity_error(const struct http_call *call, char code[64])
{
	return call->status != 200 && decode_xml(call->reply, call->reply_length, "Code", code, 64);
}

static enum http_verdict judge_identity(struct http_call *call)
{
	char code[64];
	struct strbuf buf;

	if (!identity_error(call, code) || !awserror_is_throttle(code))
		return http_judge(call);
	strbuf_init(&buf, call->why, sizeof(call->why));
	strbuf_addf(&buf, "it answered %s (status %d)", code, call->status);
	return HTTP_RETRY;
}

static enum secret_outcome take_identity(const struct http_call *call, const char *role,
					 struct kept *kept, struct strbuf *why)
{
	char expires[64] = "", code[64] = "";

	if (call->outcome != SECRET_OK) {
		strbuf_addf(why, "AssumeRoleWithWebIdentity of sts: %s", call->why);
		return call->outcome;
	}
	if (call->status != 200) {
		bool is_named = identity_error(call, code);
		strbuf_addf(why,
			    "sts:AssumeRoleWithWebIdentity is refused for %.300s, the role of "
			    "AWS_ROLE_ARN: %s (status %d)",
			    role, is_named ? code : "no reason given", call->status);
		return SECRET_DENIED;
	}
	name_identity(kept, "the role ", role);
	if (!decode_xml(call->reply, call->reply_length, "AccessKeyId", kept->access_key,
			sizeof(kept->access_key)) ||
	    !decode_xml(call->reply, call->reply_length, "SecretAccessKey", kept->secret_key,
			sizeof(kept->secret_key)) ||
	    !decode_xml(call->reply, call->reply_length, "SessionToken", kept->token,
			sizeof(kept->token))) {
		strbuf_adds(why, "the reply of STS has no credentials in it");
		return SECRET_TEMPORARY;
	}
	(void)decode_xml(call->reply, call->reply_length, "Expiration", expires, sizeof(expires));
	kept->expires = decode_time(expires);
	return SECRET_OK;
}

static enum secret_outcome from_web_identity(struct run *run, struct kept *kept, struct strbuf *why)
{
	const char *role = run_setting(run, "AWS_ROLE_ARN");
	char host[HTTP_URL_MAX - 1], url[HTTP_URL_MAX];
	struct http_call call = {
		.url = url, .prepare = prepare_form, .judge = judge_identity, .tls = &aws.tls};

	if (!role || !aws.identity) {
		strbuf_adds(why, "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN belong together");
		return SECRET_DENIED;
	}
	/* One newline at its end is an editor's, and no part of a token. */
	size_t n = strlen(aws.identity);
	if (n > 0 && aws.identity[n - 1] == '\n')
		aws.identity[n - 1] = '\0';
	char *form = identity_form(run, role, &call.body_length);
	if (!form || !endpoint_url(run, &endpoint_sts, aws.region, host, sizeof(host))) {
		secmem_free(form);
		strbuf_adds(why, "out of memory, or the endpoint of STS is too long");
		return SECRET_FAILED;
	}
	(void)snprintf(url, sizeof(url), "%s/", host);
	call.body = form;
	http_run(&call, 1);
	enum secret_outcome outcome = take_identity(&call, role, kept, why);
	http_call_finish(&call);
	secmem_free(form);
	return outcome;
}

/* {AccessKeyId, SecretAccessKey, Token, Expiration}, as containers and instances have it. */
static enum secret_outcome take_document(const char *text, size_t length, const char *who,
					 struct kept *kept, struct strbuf *why)
{
	struct strbuf ignored;
	char sentence[RUN_WHY_MAX];

	strbuf_init(&ignored, sentence, sizeof(sentence));
	cJSON *tree = decode_parse(text, length, &ignored);
	const char *role = decode_string(tree, "RoleArn");
	const char *expires = decode_string(tree, "Expiration");
	const char *code = decode_string(tree, "Code");
	bool is_good = tree && (!code || str_equal(code, "Success")) &&
		       keep_text(kept->access_key, sizeof(kept->access_key),
				 decode_string(tree, "AccessKeyId")) &&
		       keep_text(kept->secret_key, sizeof(kept->secret_key),
				 decode_string(tree, "SecretAccessKey")) &&
		       keep_text(kept->token, sizeof(kept->token), decode_string(tree, "Token"));
	/* The agent of ECS says which role it is. */
	name_identity(kept, "the container's role ", role);
	if (is_good)
		kept->expires = expires ? decode_time(expires) : 0;
	else
		strbuf_addf(why, "what %s gives are no credentials%s%.100s", who, code ? ": " : "",
			    code ? code : "");
	cJSON_Delete(tree);
	return is_good ? SECRET_OK : SECRET_DENIED;
}

static int prepare_container(struct http_call *call)
{
	const char *token = call->context;

	return token ? http_header(call, "Authorization", token) : 0;
}

static bool container_url(struct run *run, char *url, size_t size)
{
	const char *relative = run_setting(run, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = run_setting(run, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
	struct strbuf buf;

	strbuf_init(&buf, url, size);
	if (relative)
		strbuf_addf(&buf, "%s%s%s", CONTAINER_HOST, relative[0] == '/' ? "" : "/",
			    relative);
	else
		strbuf_adds(&buf, full);
	return !buf.is_cut;
}

static enum secret_outcome from_container(struct run *run, struct kept *kept, struct strbuf *why)
{
	const char *token = aws.authorization;
	char url[HTTP_URL_MAX];

	if (!token)
		token = run_setting(run, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
	if (token && strpbrk(token, "\r\n")) {
		strbuf_adds(why,
			    "the authorization token for the container's credentials has a line "
			    "end in it, and no header may");
		return SECRET_MALFORMED;
	}
	if (!container_url(run, url, sizeof(url))) {
		strbuf_adds(why, "the URI of the container's credentials is too long");
		return SECRET_MALFORMED;
	}
	struct http_call call = {.url = url,
				 .prepare = prepare_container,
				 .context = (void *)(uintptr_t)token,
				 .tls = &aws.tls,
				 .timeout_ms = 2000,
				 .connect_ms = 2000,
				 .attempts_max = 3};
	http_run(&call, 1);
	enum secret_outcome outcome = call.outcome;
	if (outcome != SECRET_OK) {
		strbuf_addf(why, "the container's credentials: %s", call.why);
	} else if (call.status != 200) {
		strbuf_addf(why, "the container's credentials are refused (status %d)",
			    call.status);
		outcome = SECRET_DENIED;
	} else {
		outcome = take_document(call.reply, call.reply_length, "the container's agent",
					kept, why);
	}
	http_call_finish(&call);
	return outcome;
}

static enum secret_outcome from_instance(struct run *run, struct kept *kept, struct strbuf *why)
{
	static const char path[] = "/latest/meta-data/iam/security-credentials/";
	CLEANUP(secmem_freep) char *role = NULL;
	CLEANUP(secmem_freep) char *text = NULL;
	char of_role[512];
	struct strbuf buf;
	size_t length;

	if (imds_is_disabled(run)) {
		strbuf_adds(why, "there are no credentials for AWS: no AWS_ACCESS_KEY_ID, no web "
				 "identity, no container's, and AWS_EC2_METADATA_DISABLED is set");
		return SECRET_DENIED;
	}
	enum secret_outcome outcome = imds_get(run, path, &role, &length, why);
	if (outcome == SECRET_NOT_FOUND) {
		strbuf_adds(why, ": the instance has no role");
		return SECRET_DENIED;
	}
	if (outcome != SECRET_OK)
		return outcome;
	role[strcspn(role, "\r\n")] = '\0';
	strbuf_init(&buf, of_role, sizeof(of_role));
	strbuf_addf(&buf, "%s%s", path, role);
	if (role[0] == '\0' || strpbrk(role, " /?#%") || buf.is_cut) {
		strbuf_adds(why, "the metadata service of EC2 names no role of this instance");
		return SECRET_DENIED;
	}
	outcome = imds_get(run, of_role, &text, &length, why);
	if (outcome != SECRET_OK)
		return outcome;
	outcome = take_document(text, length, "the metadata service of EC2", kept, why);
	name_identity(kept, "the instance's role ", role);
	return outcome;
}

/* ---- the chain */

static const struct {
	const char *name;
	const char *settings[2]; /* any of which makes it the one; none: it always is */
	enum secret_outcome (*get)(struct run *run, struct kept *kept, struct strbuf *why);
	bool is_kept; /* worth a place in the state */
} chain[] = {
	{"environment", {"AWS_ACCESS_KEY_ID", NULL}, from_environment, false},
	{"web identity", {"AWS_WEB_IDENTITY_TOKEN_FILE", NULL}, from_web_identity, true},
	{"container",
	 {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"},
	 from_container,
	 true},
	{"instance", {NULL, NULL}, from_instance, true},
};

static size_t find_source(const struct run *run)
{
	size_t i = 0;

	for (; i + 1 < ARRAY_COUNT(chain); i++) {
		for (size_t k = 0; k < 2 && chain[i].settings[k]; k++) {
			if (run_setting(run, chain[i].settings[k]))
				return i;
		}
	}
	return i;
}

static bool take_from_state(size_t source, int64_t left_s)
{
	if (!state_get_exactly(&remote_state, STATE_CREDENTIALS, &aws.kept, sizeof(aws.kept)))
		return false;
	aws.kept.source[sizeof(aws.kept.source) - 1] = '\0';
	aws.kept.access_key[KEY_MAX - 1] = aws.kept.secret_key[KEY_MAX - 1] = '\0';
	aws.kept.token[TOKEN_MAX - 1] = '\0';
	aws.kept.who[sizeof(aws.kept.who) - 1] = '\0';
	if (!str_equal(aws.kept.source, chain[source].name) ||
	    aws.kept.expires < aws_now() + left_s)
		return false;
	aws.is_from_state = true;
	return true;
}

static enum secret_outcome get_fresh(struct run *run, size_t source, struct strbuf *why)
{
	aws.kept = (struct kept){0};
	aws.is_from_state = false;
	enum secret_outcome outcome = chain[source].get(run, &aws.kept, why);
	if (outcome != SECRET_OK)
		return outcome;
	(void)str_copy(aws.kept.source, sizeof(aws.kept.source), chain[source].name);
	if (chain[source].is_kept && aws.kept.expires > 0)
		(void)state_set(&remote_state, STATE_CREDENTIALS, &aws.kept, sizeof(aws.kept));
	return SECRET_OK;
}

/* Who cannot be reached now may be so before the old ones end. */
static bool survives(size_t source, enum secret_outcome outcome)
{
	return (outcome == SECRET_UNREACHABLE || outcome == SECRET_TEMPORARY) &&
	       chain[source].is_kept && take_from_state(source, MANDATORY_S);
}

static enum secret_outcome find_credentials(struct run *run, struct strbuf *why)
{
	size_t source = find_source(run);

	if (!chain[source].is_kept || !take_from_state(source, ADVISORY_S)) {
		enum secret_outcome outcome = get_fresh(run, source, why);
		if (outcome != SECRET_OK && !survives(source, outcome))
			return outcome;
	}
	aws.credentials = (struct sign_credentials){
		.access_key = aws.kept.access_key,
		.secret_key = aws.kept.secret_key,
		.token = aws.kept.token[0] ? aws.kept.token : NULL,
	};
	return SECRET_OK;
}

static enum secret_outcome find_region(struct run *run, struct strbuf *why)
{
	CLEANUP(secmem_freep) char *text = NULL;
	const char *region = run_setting(run, "AWS_REGION");
	size_t length;

	if (!region)
		region = run_setting(run, "AWS_DEFAULT_REGION");
	if (!region && imds_is_disabled(run)) {
		strbuf_adds(why, "the region is not known: set AWS_REGION");
		return SECRET_MALFORMED;
	}
	if (!region) {
		enum secret_outcome outcome =
			imds_get(run, "/latest/meta-data/placement/region", &text, &length, why);
		if (outcome != SECRET_OK) {
			strbuf_adds(why,
				    " (the region was asked for, since AWS_REGION is not set)");
			return outcome;
		}
		region = text;
	}
	if (!awsref_is_region(region) || !str_copy(aws.region, sizeof(aws.region), region)) {
		strbuf_adds(why, "the region is no name of one: set AWS_REGION, as eu-central-1");
		return SECRET_MALFORMED;
	}
	return SECRET_OK;
}

enum secret_outcome aws_begin(struct run *run, struct strbuf *why)
{
	struct strbuf buf;

	if (!aws.is_begun && aws.outcome == SECRET_OK) {
		(void)state_get_exactly(&remote_state, STATE_CLOCK, &aws.offset_s,
					sizeof(aws.offset_s));
		strbuf_init(&buf, aws.why, sizeof(aws.why));
		aws.outcome = find_region(run, &buf);
		if (aws.outcome == SECRET_OK)
			aws.outcome = find_credentials(run, &buf);
	}
	aws.is_begun = true;
	if (aws.outcome != SECRET_OK)
		strbuf_adds(why, aws.why);
	return aws.outcome;
}

bool aws_distrust(void)
{
	if (!aws.is_from_state)
		return false;
	state_drop(&remote_state, STATE_CREDENTIALS);
	aws.is_begun = false;
	return true;
}

const char *aws_region(void)
{
	return aws.region;
}

const struct sign_credentials *aws_credentials(void)
{
	return &aws.credentials;
}

const char *aws_identity(void)
{
	return aws.kept.who;
}

const struct http_tls *aws_tls(void)
{
	return &aws.tls;
}

void aws_finish(void)
{
	secmem_free(aws.ca_pem);
	secmem_free(aws.identity);
	secmem_free(aws.authorization);
	explicit_bzero(&aws, sizeof(aws));
	imds_finish();
}
