#pragma once
/*
 * A reference to a secret of Vault, as it stands behind "vault:":
 *
 *	MOUNT/PATH[?version=N]#KEY
 *
 * Where the mount ends only Vault can tell (a mount may have slashes), so it is asked; see vault.c.
 * The path is taken as it is written and escaped for the URL here: whoever writes a unit names a
 * secret, and cannot reach another part of Vault's interface by it (sys/, auth/, .. are refused).
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/str.h"

#define VAULTREF_PATH_MAX 512 /* bytes; Vault's storage has limits of this order */
#define VAULTREF_KEY_MAX  256
#define VAULTREF_URL_MAX  (3 * VAULTREF_PATH_MAX)

struct vaultref {
	char path[VAULTREF_PATH_MAX + 1]; /* MOUNT/PATH, no slash at either end */
	char key[VAULTREF_KEY_MAX + 1];	  /* empty: none was named */
	uint32_t version;		  /* 0: the newest */
};

/* False with a sentence in why. A key is wanted unless needs_key is false, when none may stand. */
bool vaultref_parse(const char *text, bool needs_key, struct vaultref *ret_ref, struct strbuf *why);

/* Whether text is a path as a reference may have it; what says what it is, for messages. */
bool vaultref_check_path(const char *text, const char *what, struct strbuf *why);

/* Adds path with each byte but unreserved ones (RFC 3986) and slashes as %XX. */
void vaultref_escape(struct strbuf *buf, const char *path);
