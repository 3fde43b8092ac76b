#pragma once
/*
 * How Vault is reached and how one logs in to it: settings and variables, checked once, and the files
 * that they name, read while the process is still whoever it was started (a token file may be
 * root's). Nothing here speaks to Vault.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/secretreport.h"
#include "lib/str.h"
#include "secrets/http.h"
#include "secrets/run.h"

#define VAULT_ADDRESS_MAX 512
#define VAULT_TOKEN_MAX	  8192 /* of a token, a secret_id, a JWT: batch tokens have hundreds */

enum vault_auth {
	VAULT_AUTH_NONE,  /* an agent on loopback puts its own token in */
	VAULT_AUTH_TOKEN, /* given: VAULT_TOKEN or a file */
	VAULT_AUTH_APPROLE,
	VAULT_AUTH_KUBERNETES,
	VAULT_AUTH_JWT,
	VAULT_AUTH_AWS,
	VAULT_AUTH_CERT,
	VAULT_AUTH_COUNT
};

extern const char *const vault_auth_names[VAULT_AUTH_COUNT];

struct vault_conf {
	char address[VAULT_ADDRESS_MAX]; /* https://host:port[/prefix], no slash at its end */
	const char *namespace;		 /* borrowed; NULL: none */
	enum vault_auth auth;
	const char *mount; /* of the auth method, without slashes */
	const char *role;  /* NULL: none */
	const char *role_id;
	const char *server_id; /* of the AWS method; NULL: none */
	const char
		*wrapped_path; /* that a wrapped secret_id must have been made by; NULL: see auth */
	bool is_wrapped;
	unsigned attempts_max;
	/* Owned, of secrets/secmem.h; NULL: none. The token, the secret_id (or what wraps it), the JWT. */
	char *credential;
	/* Why nobody can log in with it: no failure while the session that is kept from before lives. */
	enum secret_outcome auth_outcome;
	char auth_why[RUN_WHY_MAX];
	char *ca, *certificate, *key;
	struct http_tls tls;
};

/* SECRET_OK, or a sentence in why that names the setting and what was expected. */
enum secret_outcome vault_conf_read(struct vault_conf *conf, const struct run *run,
				    struct strbuf *why);
void vault_conf_finish(struct vault_conf *conf);
