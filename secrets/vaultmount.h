#pragma once
/*
 * Where a secret's mount ends and what kind it is, which only Vault knows: for a KV of version 2 a
 * data/ belongs between mount and path. Mounts never lie within each other, so that one answer serves
 * every secret below it.
 */
#include <stdbool.h>
#include <stddef.h>

#include "secrets/vaultcall.h"
#include "secrets/vaultref.h"

#define VAULT_MOUNTS_MAX 64

struct vault_mount {
	char path[VAULTREF_PATH_MAX +
		  2]; /* with a slash at its end; "" for what Vault cannot tell */
	bool is_kv, is_v2;
};

struct vault_mounts {
	struct vault_mount mounts[VAULT_MOUNTS_MAX];
	size_t count;
};

/* The mount that path lies in, of those that were asked for; NULL: not known. */
const struct vault_mount *vault_mount_of(const struct vault_mounts *mounts, const char *path);

/* Asks for the mount of path, where it is not known. */
enum secret_outcome vault_mount_find(struct vault_mounts *mounts, struct vault_client *client,
				     const char *path, const struct vault_mount **ret_mount,
				     struct strbuf *why);

/* The path to read, escaped, with ?version=N where one is asked for. False, with why, when the mount has
 * no versions. */
bool vault_mount_url(const struct vault_mount *mount, const struct vaultref *ref,
		     struct strbuf *url, struct strbuf *why);
