/*
 * Secrets, by the names of files that hold one, by marks that they have in them, and by the names
 * of variables. A finding says what and where, and never the value.
 */
#include <ctype.h>
#include <fnmatch.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "tools/lint_rules.h"

/* ---------------------------------------------------------------- names of files */

static const struct {
	const char *pattern; /* of the whole path, fnmatch(3) */
	const char *mark;    /* what must be in it as well; NULL: nothing */
	enum lint_rule rule;
	const char *what;
} files[] = {
	{"*/.env", "=", LINT_SECRET, "variables of an environment, with their values"},
	{"*/.env.*", "=", LINT_SECRET, "variables of an environment, with their values"},
	{"*/.netrc", "password", LINT_SECRET, "passwords of servers"},
	{"*/.pgpass", ":", LINT_SECRET, "passwords of databases"},
	{"*/.my.cnf", "password", LINT_SECRET, "the password of a database"},
	{"*/.git-credentials", "://", LINT_SECRET, "passwords of repositories"},
	{"*/.npmrc", "_auth", LINT_SECRET, "the token of a registry"},
	{"*/.pypirc", "password", LINT_SECRET, "the password of a registry"},
	{"*/.docker/config.json", "\"auth\"", LINT_SECRET, "passwords of registries"},
	{"*/.aws/credentials", "aws_secret_access_key", LINT_SECRET, "keys of an AWS account"},
	{"*/.kube/config", "-data:", LINT_SECRET, "keys of a cluster"},
	{"*/.vault-token", NULL, LINT_SECRET, "a token of Vault"},
	{"*/.bash_history", NULL, LINT_SECRET, "what somebody typed"},
	{"*/authorized_keys", NULL, LINT_LOGIN, "who may log in by SSH, and nobody gets in"},
	{"*.p12", NULL, LINT_KEYSTORE, "a store that may have private keys in it"},
	{"*.pfx", NULL, LINT_KEYSTORE, "a store that may have private keys in it"},
	{"*.kdbx", NULL, LINT_KEYSTORE, "a store of passwords"},
};

/* What shows how such a file looks. */
static bool is_sample(const char *path)
{
	static const char *const ends[] = {".example", ".sample", ".template", ".dist",
					   ".defaults"};

	for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
		if (str_ends(path, ends[i]))
			return true;
	}
	return false;
}

static void judge_name(struct lint *lint, const struct image_file *file)
{
	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		const char *mark = files[i].mark;
		if (fnmatch(files[i].pattern, file->path, 0) != 0)
			continue;
		if (!mark || memmem(file->data, file->size, mark, strlen(mark)))
			lint_say(lint, files[i].rule, file->path, file->layer, "%s", files[i].what);
		return;
	}
}

/* ---------------------------------------------------------------- what is in them */

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* Tokens that say by their first characters what they are, and how long they are at least. */
static const struct {
	const char *prefix, *alphabet;
	size_t length; /* behind the prefix */
	const char *what;
} tokens[] = {
	{"AKIA", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16, "the id of a lasting AWS key"},
	{"ghp_", ALNUM, 36, "a token of GitHub"},
	{"gho_", ALNUM, 36, "a token of GitHub"},
	{"ghs_", ALNUM, 36, "a token of GitHub"},
	{"github_pat_", ALNUM "_", 40, "a token of GitHub"},
	{"glpat-", ALNUM "_-", 20, "a token of GitLab"},
	{"npm_", ALNUM, 36, "a token of npm"},
	{"pypi-AgE", ALNUM "_-", 40, "a token of PyPI"},
	{"xoxb-", ALNUM "-", 20, "a token of Slack"},
	{"xoxp-", ALNUM "-", 20, "a token of Slack"},
	{"hvs.", ALNUM "_-", 24, "a token of Vault"},
	{"AIza", ALNUM "_-", 35, "a key of Google's"},
	{"sk_live_", ALNUM, 20, "a key of Stripe's"},
	{"dop_v1_", "abcdef0123456789", 64, "a token of DigitalOcean"},
};

static size_t span(const char *at, const char *end, const char *alphabet)
{
	size_t n = 0;

	while (at + n < end && at[n] && strchr(alphabet, at[n]))
		n++;
	return n;
}

static bool has_token(const struct image_file *file, size_t row)
{
	const char *at = file->data, *end = at + file->size, *prefix = tokens[row].prefix;

	while ((at = memmem(at, (size_t)(end - at), prefix, strlen(prefix)))) {
		bool is_start = at == file->data || !isalnum((unsigned char)at[-1]);
		at += strlen(prefix);
		size_t length = span(at, end, tokens[row].alphabet);
		/* AWS's own documents have keys that end so. */
		bool is_example = length >= 7 && memcmp(at + length - 7, "EXAMPLE", 7) == 0;
		if (is_start && length >= tokens[row].length && !is_example)
			return true;
	}
	return false;
}

/* Base64 in lines, also where they stand in a string with \n in it; or an encrypted key's header. */
static bool is_key_body(const char *at, const char *end)
{
	static const char encrypted[] = "Proc-Type:";

	at += span(at, end, "-");
	at += span(at, end, "\\rn\r\n \t\"");
	return span(at, end, ALNUM "+/=") >= 32 || ((size_t)(end - at) > strlen(encrypted) &&
						    memcmp(at, encrypted, strlen(encrypted)) == 0);
}

/* RFC 7468: the line that begins it, and more behind it than a text has that explains such lines. */
static bool has_private_key(const struct image_file *file)
{
	static const char begin[] = "-----BEGIN ", kind[] = "PRIVATE KEY";
	const char *at = file->data, *end = at + file->size;

	while ((at = memmem(at, (size_t)(end - at), begin, strlen(begin)))) {
		at += strlen(begin);
		size_t label = span(at, end, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ");
		const char *stop = at + label;
		if (label >= strlen(kind) && memcmp(stop - strlen(kind), kind, strlen(kind)) == 0 &&
		    is_key_body(stop, end))
			return true;
	}
	return false;
}

static void judge_content(struct lint *lint, const struct image_file *file)
{
	if (has_private_key(file))
		lint_say(lint, LINT_SECRET, file->path, file->layer, "a private key");
	for (size_t i = 0; i < ARRAY_COUNT(tokens); i++) {
		if (has_token(file, i))
			lint_say(lint, LINT_SECRET, file->path, file->layer, "%s", tokens[i].what);
	}
}

void lint_secrets(struct lint *lint, const struct image_file *file)
{
	if (!S_ISREG(file->mode) || file->size == 0 || is_sample(file->path))
		return;
	judge_name(lint, file);
	/* A library that reads keys has their first lines in it. */
	if (!lint_is_program(file))
		judge_content(lint, file);
}

/* ---------------------------------------------------------------- variables */

/* As parts of a name, between underscores. */
static const char *const secret_words[] = {"PASSWORD",	 "PASSWD",     "PASSPHRASE", "PWD",
					   "SECRET",	 "SECRETS",    "TOKEN",	     "APIKEY",
					   "CREDENTIAL", "CREDENTIALS"};
static const char *const secret_pairs[] = {"API_KEY",	 "ACCESS_KEY",	   "PRIVATE_KEY",
					   "SECRET_KEY", "ENCRYPTION_KEY", "SIGNING_KEY",
					   "AUTH_KEY"};
/* What only says where a secret is. */
static const char *const place_ends[] = {"_FILE", "_PATH", "_DIR", "_URL", "_ARN", "_NAME", "_ID"};

static bool has_part(const char *name, size_t length, const char *part)
{
	size_t size = strlen(part);

	for (size_t i = 0; i + size <= length; i++) {
		if (strncasecmp(name + i, part, size) == 0 && (i == 0 || name[i - 1] == '_') &&
		    (i + size == length || name[i + size] == '_'))
			return true;
	}
	return false;
}

static bool is_any_part(const char *name, size_t length, const char *const *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (has_part(name, length, parts[i]))
			return true;
	}
	return false;
}

static bool says_a_place(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_COUNT(place_ends); i++) {
		size_t size = strlen(place_ends[i]);
		if (length > size && strncasecmp(name + length - size, place_ends[i], size) == 0)
			return true;
	}
	return false;
}

static bool is_secret_name(const char *name, size_t length)
{
	/* The shell's own variables. */
	if (has_part(name, length, "PWD") && (length == 3 || strncmp(name, "OLDPWD", 6) == 0))
		return false;
	return !says_a_place(name, length) &&
	       (is_any_part(name, length, secret_words, ARRAY_COUNT(secret_words)) ||
		is_any_part(name, length, secret_pairs, ARRAY_COUNT(secret_pairs)));
}

void lint_environment(struct lint *lint, char *const *environment)
{
	for (; *environment; environment++) {
		const char *equals = strchr(*environment, '=');
		size_t length = equals ? (size_t)(equals - *environment) : 0;
		struct image_file value = {.path = "ENV"};
		if (!equals || !equals[1])
			continue;
		if (is_secret_name(*environment, length))
			lint_say(lint, LINT_SECRET, "ENV", 0,
				 "%.*s has a value in the image: expected Secret= of a unit, which "
				 "fetches it",
				 (int)MIN(length, (size_t)100), *environment);
		value.data = equals + 1;
		value.size = strlen(equals + 1);
		judge_content(lint, &value);
	}
}
