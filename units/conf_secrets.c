/*
 * [Secrets] of holdfast.conf: how services that keep secrets are reached. Most keys become a setting
 * under the name that the environment has for the same thing, so that the helper that fetches
 * looks up one name, first here and then in holdfast's environment.
 */
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"
#include "units/conf.h"
#include "units/directive.h"
#include "units/values.h"

#define VALUE_MAX 2048

/* NULL, or what was expected. Some put the value into the environment's words. */
typedef const char *check_value(const char **value);

static bool is_printable(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7f)
			return false;
	}
	return true;
}

static const char *check_word(const char **value)
{
	return is_printable(*value) ? NULL : "one word of printable characters";
}

static const char *check_region(const char **value)
{
	return (*value)[strspn(*value, "abcdefghijklmnopqrstuvwxyz0123456789-")]
		       ? "a region such as eu-central-1"
		       : NULL;
}

/* Which hosts may be spoken to without TLS is the helper's to say, which resolves names. A user in
 * an address would be a secret in the plan. */
static const char *check_url(const char **value)
{
	const char *rest = str_starts(*value, "https://")  ? *value + 8
			   : str_starts(*value, "http://") ? *value + 7
							   : "";

	return *rest && *rest != '/' && is_printable(rest) && !strpbrk(rest, "@?#")
		       ? NULL
		       : "https://HOST[:PORT][/PATH] without user, ? and #";
}

static const char *check_path(const char **value)
{
	return **value == '/' && is_printable(*value) ? NULL : "an absolute path";
}

static const char *check_bool(const char **value)
{
	bool is_true;

	if (str_parse_bool(*value, &is_true) < 0)
		return "yes or no";
	*value = is_true ? "true" : "false";
	return NULL;
}

static const char *check_auth(const char **value)
{
	static const char *const words[] = {"token", "approle", "kubernetes", "jwt",
					    "aws",   "cert",	"none"};

	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		if (strcmp(*value, words[i]) == 0)
			return NULL;
	}
	return "token, approle, kubernetes, jwt, aws, cert or none";
}

/* What it stands for in the plan; setting NULL: a time of ours at offset. */
static const struct key {
	const char *key, *setting;
	check_value *check;
	size_t offset;
	uint64_t least_us;
} keys[] = {
	{"Region", "AWS_REGION", check_region, 0, 0},
	{"EndpointUrl", "AWS_ENDPOINT_URL", check_url, 0, 0},
	{"EndpointUrlSsm", "AWS_ENDPOINT_URL_SSM", check_url, 0, 0},
	{"EndpointUrlSecretsManager", "AWS_ENDPOINT_URL_SECRETS_MANAGER", check_url, 0, 0},
	{"EndpointUrlSts", "AWS_ENDPOINT_URL_STS", check_url, 0, 0},
	{"UseFipsEndpoint", "AWS_USE_FIPS_ENDPOINT", check_bool, 0, 0},
	{"UseDualStackEndpoint", "AWS_USE_DUALSTACK_ENDPOINT", check_bool, 0, 0},
	{"CaBundle", "AWS_CA_BUNDLE", check_path, 0, 0},
	{"MetadataDisabled", "AWS_EC2_METADATA_DISABLED", check_bool, 0, 0},
	{"MetadataEndpoint", "AWS_EC2_METADATA_SERVICE_ENDPOINT", check_url, 0, 0},
	{"VaultAddress", "VAULT_ADDR", check_url, 0, 0},
	{"VaultNamespace", "VAULT_NAMESPACE", check_word, 0, 0},
	{"VaultCaFile", "VAULT_CACERT", check_path, 0, 0},
	{"VaultCaPath", "VAULT_CAPATH", check_path, 0, 0},
	{"VaultServerName", "VAULT_TLS_SERVER_NAME", check_word, 0, 0},
	{"VaultClientCert", "VAULT_CLIENT_CERT", check_path, 0, 0},
	{"VaultClientKey", "VAULT_CLIENT_KEY", check_path, 0, 0},
	{"VaultAuth", "HOLDFAST_VAULT_AUTH", check_auth, 0, 0},
	{"VaultAuthMount", "HOLDFAST_VAULT_AUTH_MOUNT", check_word, 0, 0},
	{"VaultRole", "HOLDFAST_VAULT_ROLE", check_word, 0, 0},
	{"VaultRoleId", "HOLDFAST_VAULT_ROLE_ID", check_word, 0, 0},
	{"VaultSecretIdFile", "HOLDFAST_VAULT_SECRET_ID_FILE", check_path, 0, 0},
	{"VaultTokenFile", "HOLDFAST_VAULT_TOKEN_FILE", check_path, 0, 0},
	{"VaultJwtFile", "HOLDFAST_VAULT_JWT_FILE", check_path, 0, 0},
	{"VaultIamServerId", "HOLDFAST_VAULT_IAM_SERVER_ID", check_word, 0, 0},
	{"VaultIamRegion", "HOLDFAST_VAULT_IAM_REGION", check_region, 0, 0},
	{"VaultWrapped", "HOLDFAST_VAULT_WRAPPED", check_bool, 0, 0},
	{"VaultWrappedPath", "HOLDFAST_VAULT_WRAPPED_PATH", check_word, 0, 0},
	{"VaultSkipVerify", "VAULT_SKIP_VERIFY", check_bool, 0, 0},
	{"FetchTimeoutSec", NULL, NULL, offsetof(struct conf, fetch_timeout_us), USEC_PER_SEC},
	{"ChangeSplaySec", NULL, NULL, offsetof(struct conf, change_splay_us), 0},
};

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		if (strcmp(keys[i].key, name) == 0)
			return &keys[i];
	}
	return NULL;
}

static void say_unknown(const struct parse *parse)
{
	const char *names[ARRAY_COUNT(keys)];

	if (str_starts(parse->item->key, "X-"))
		return;
	for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
		names[i] = keys[i].key;
	const char *nearest = value_nearest(parse->item->key, names, ARRAY_COUNT(names));
	report_unknown(&parse->units->report, &parse->item->at,
		       "unknown key %s= in [Secrets]%s%s%s", parse->item->key,
		       nearest ? ": did you mean " : "", nearest ? nearest : "",
		       nearest ? "=?" : "");
}

static void apply_time(const struct parse *parse, const struct key *key)
{
	uint64_t *target = (uint64_t *)((char *)&parse->units->conf + key->offset);
	uint64_t us;

	if (value_span(parse->value, &us) < 0 || us < key->least_us || us == PLAN_INFINITY_US)
		parse_error(parse, 0, "\"%s\": expected a time span%s, such as 90 or 1min 30s",
			    parse->value, key->least_us ? " of at least 1s" : "");
	else
		*target = us;
}

/* One for each name; an empty value takes it back. */
static void set_setting(struct units *units, const struct key *key, const char *value,
			struct where at)
{
	struct settings *list = &units->conf.secret_settings;
	size_t length = strlen(key->setting), kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		const char *text = list->items[i].text;
		if (strncmp(text, key->setting, length) != 0 || text[length] != '=')
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
	if (*value)
		settings_add(&units->arena, list,
			     arena_printf(&units->arena, "%s=%s", key->setting, value), at);
}

static const char *value_of(const char *assignment, const char *name)
{
	size_t length = strlen(name);

	return strncmp(assignment, name, length) == 0 && assignment[length] == '='
		       ? assignment + length + 1
		       : NULL;
}

/* As run_setting of secrets/run.c: an empty variable counts as not set. */
const char *conf_secret_setting(const struct units *units, const char *name)
{
	const struct settings *list = &units->conf.secret_settings;
	const char *const *environment = units->request.environment;
	const char *value = NULL;

	for (size_t i = 0; !value && i < list->count; i++)
		value = value_of(list->items[i].text, name);
	for (; !value && environment && *environment; environment++)
		value = value_of(*environment, name);
	return value && *value ? value : NULL;
}

void conf_apply_secrets(const struct parse *parse)
{
	const struct key *key = find_key(parse->item->key);
	const char *value = parse->value;

	if (!key) {
		say_unknown(parse);
		return;
	}
	if (!key->setting) {
		apply_time(parse, key);
		return;
	}
	const char *expected = !*value			   ? NULL
			       : strlen(value) > VALUE_MAX ? "at most 2048 bytes"
							   : key->check(&value);
	if (expected)
		parse_error(parse, 0, "\"%.200s\": expected %s", parse->value, expected);
	else
		set_setting(parse->units, key, value, lex_value(parse->item));
}
