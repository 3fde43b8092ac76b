#include "lib/reference.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

#define ALNUM	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define DIGITS	    "0123456789"
#define SSM_NAME    ALNUM "_.-/"
#define SSM_LABEL   ALNUM "_.-"
#define ASM_NAME    ALNUM "/_+=.@-:"
#define ARN_COLONS  5 /* arn:partition:service:region:account:rest */
#define SSM_ARN_END "parameter/"

/* Each returns where rest goes wrong, or NULL. */

static const char *fault_of_file(const char *rest)
{
	const char *up = strstr(rest, "/../");

	if (*rest != '/' || !rest[1])
		return rest;
	if (up)
		return up;
	return str_ends(rest, "/..") ? rest + strlen(rest) - 3 : NULL;
}

static const char *fault_of_env(const char *rest)
{
	bool is_name = *rest && !strchr(DIGITS, *rest) && !rest[strspn(rest, ALNUM "_")];

	return is_name ? NULL : rest;
}

static const char *fault_of_credential(const char *rest)
{
	const char *slash = strchr(rest, '/');

	if (slash)
		return slash;
	return *rest && *rest != '.' && strlen(rest) <= 255 ? NULL : rest;
}

/* Behind "arn:…:parameter/" the name begins; NULL: that is no such ARN. */
static const char *skip_arn(const char *rest, const char *end)
{
	for (int i = 0; i < ARN_COLONS; i++) {
		rest = strchr(rest, ':');
		if (!rest)
			return NULL;
		rest++;
	}
	return str_starts(rest, end) ? rest + strlen(end) : NULL;
}

static const char *fault_of_ssm(const char *rest)
{
	const char *name = str_starts(rest, "arn:") ? skip_arn(rest, SSM_ARN_END) : rest;

	if (!name)
		return rest;
	const char *end = name + strspn(name, SSM_NAME);
	if (end == name || end[-1] == '/')
		return end;
	if (*end == '\0')
		return NULL;
	if (*end != ':' || !end[1])
		return end;
	end += 1 + strspn(end + 1, SSM_LABEL);
	return *end ? end : NULL;
}

static const char *fault_of_ssm_path(const char *rest)
{
	const char *end = rest + strspn(rest, SSM_NAME);

	if (*rest != '/')
		return rest;
	return *end || end[-1] != '/' ? end : NULL;
}

static const char *fault_of_asm(const char *rest)
{
	const char *end = rest + strspn(rest, ASM_NAME);

	if (end == rest || *rest == '@')
		return rest;
	if (*end == '\0')
		return end[-1] == '@' ? end : NULL;
	if (*end != '#' || !end[1] || end[1] == '@')
		return *end == '#' ? end + 1 : end;
	return str_ends(end, "@") ? end + strlen(end) : NULL;
}

/* The path up to its end or '#'; the sign where it goes wrong, or that end. */
static const char *skip_vault_path(const char *rest, bool *ret_is_valid)
{
	const char *end = rest + strcspn(rest, "#?%");
	bool has_mount = false;

	*ret_is_valid = false;
	for (const char *at = rest; at < end; at++) {
		if (*at != '/')
			continue;
		if (at == rest || at[1] == '/' || str_starts(at, "/../") || str_starts(at, "/./"))
			return at;
		has_mount = has_mount || at + 1 < end;
	}
	*ret_is_valid = has_mount && end[-1] != '/';
	return end;
}

/* "?version=N", where it stands; the sign behind it. */
static const char *skip_vault_version(const char *at, bool *ret_is_valid)
{
	if (*at != '?')
		return at;
	const char *name = "?version=", *digits = at + strlen(name);
	*ret_is_valid = str_starts(at, name) && *digits >= '1' && *digits <= '9';
	return *ret_is_valid ? digits + strspn(digits, "0123456789") : at;
}

static const char *fault_of_vault(const char *rest)
{
	bool is_valid;
	const char *end = skip_vault_path(rest, &is_valid);

	if (is_valid)
		end = skip_vault_version(end, &is_valid);
	if (!is_valid || *end != '#')
		return end;
	return end[1] ? NULL : end + 1;
}

static const char *fault_of_vault_path(const char *rest)
{
	bool is_valid;
	const char *end = skip_vault_path(rest, &is_valid);

	if (is_valid)
		end = skip_vault_version(end, &is_valid);
	return is_valid && *end == '\0' ? NULL : end;
}

struct form {
	const char *expected;
	const char *(*find_fault)(const char *rest);
};

static const struct scheme {
	const char *prefix;
	struct form one, many; /* expected NULL: there is no such form */
	bool is_remote;
} schemes[] = {
	{"file:", {"file: and an absolute path", fault_of_file}, {0}, false},
	{"env:", {"env: and the name of a variable", fault_of_env}, {0}, false},
	{"cred:", {"cred: and the name of a credential", fault_of_credential}, {0}, false},
	{"ssm:",
	 {"ssm:NAME, ssm:NAME:VERSION or ssm:NAME:LABEL (a path belongs in SecretPath=)",
	  fault_of_ssm},
	 {"ssm:/PATH/, with a slash at both ends", fault_of_ssm_path},
	 true},
	{"asm:",
	 {"asm:SECRET, asm:SECRET#JSON-KEY or either with @STAGE", fault_of_asm},
	 {0},
	 true},
	{"vault:",
	 {"vault:MOUNT/PATH#KEY or vault:MOUNT/PATH?version=N#KEY", fault_of_vault},
	 {"vault:MOUNT/PATH, of which every key is taken", fault_of_vault_path},
	 true},
};

static const struct scheme *find_scheme(const char *text)
{
	for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
		if (str_starts(text, schemes[i].prefix))
			return &schemes[i];
	}
	return NULL;
}

const char *reference_find_fault(const char *text, bool is_path, size_t *ret_offset)
{
	const struct scheme *scheme = find_scheme(text);
	const struct form *form = !scheme ? NULL : is_path ? &scheme->many : &scheme->one;

	*ret_offset = 0;
	if (!form || !form->expected)
		return is_path ? "a path of many secrets: ssm:/PATH/ or vault:MOUNT/PATH"
			       : "a reference: ssm:NAME, asm:SECRET, vault:MOUNT/PATH#KEY, "
				 "file:PATH, env:NAME or cred:NAME";
	const char *fault = form->find_fault(text + strlen(scheme->prefix));
	for (const char *at = text; !fault && *at; at++) {
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			fault = at;
	}
	if (!fault)
		return NULL;
	*ret_offset = (size_t)(fault - text);
	return form->expected;
}

bool reference_is_remote(const char *text)
{
	const struct scheme *scheme = find_scheme(text);

	return scheme && scheme->is_remote;
}
