#include "secrets/vaultmount.h"

#include <string.h>

#include "lib/cleanup.h"

const struct vault_mount *vault_mount_of(const struct vault_mounts *mounts, const char *path)
{
	for (size_t i = 0; i < mounts->count; i++) {
		if (str_starts(path, mounts->mounts[i].path))
			return &mounts->mounts[i];
	}
	return NULL;
}

static bool take_mount(const cJSON *json, const char *path, struct vault_mount *ret_mount)
{
	const cJSON *data = decode_member(json, "data");
	const char *mount = decode_string(data, "path");
	const char *type = decode_string(data, "type");
	const char *version = decode_string(decode_member(data, "options"), "version");

	if (!mount || !type || !str_ends(mount, "/") || !str_starts(path, mount) ||
	    !str_copy(ret_mount->path, sizeof(ret_mount->path), mount))
		return false;
	ret_mount->is_kv = str_equal(type, "kv") || str_equal(type, "generic");
	ret_mount->is_v2 = ret_mount->is_kv && version && str_equal(version, "2");
	return true;
}

static enum secret_outcome settle(const struct vault_call *call, const char *path,
				  struct vault_mount *ret_mount, struct strbuf *why)
{
	/* Before mounts could be asked for there was no KV 2: the path is read as it stands. */
	if (call->status == 404) {
		size_t length = strcspn(path, "/") + 1;
		memcpy(ret_mount->path, path, length);
		ret_mount->path[length] = '\0';
		return SECRET_OK;
	}
	if (call->outcome != SECRET_OK) {
		strbuf_addf(why, "asking Vault for the mount: %s", call->why);
		return call->outcome;
	}
	if (take_mount(call->json, path, ret_mount))
		return SECRET_OK;
	strbuf_adds(why, "Vault's answer about the mount is not as it should be");
	return SECRET_UNREACHABLE;
}

enum secret_outcome vault_mount_find(struct vault_mounts *mounts, struct vault_client *client,
				     const char *path, const struct vault_mount **ret_mount,
				     struct strbuf *why)
{
	CLEANUP(vault_call_finish) struct vault_call call = {0};
	char url[VAULTREF_URL_MAX + 64];
	struct strbuf buf;

	*ret_mount = vault_mount_of(mounts, path);
	if (*ret_mount)
		return SECRET_OK;
	if (mounts->count == VAULT_MOUNTS_MAX) {
		strbuf_addf(why, "the unit has secrets of more than %d mounts", VAULT_MOUNTS_MAX);
		return SECRET_MALFORMED;
	}
	strbuf_init(&buf, url, sizeof(url));
	strbuf_adds(&buf, "sys/internal/ui/mounts/");
	vaultref_escape(&buf, path);
	if (!vault_call_init(&call, client, "GET", url, NULL)) {
		strbuf_adds(why, "no memory");
		return SECRET_FAILED;
	}
	vault_call_run(&call, 1);
	struct vault_mount *mount = &mounts->mounts[mounts->count];
	*mount = (struct vault_mount){0};
	enum secret_outcome outcome = settle(&call, path, mount, why);
	if (outcome == SECRET_OK) {
		mounts->count++;
		*ret_mount = mount;
	}
	return outcome;
}

bool vault_mount_url(const struct vault_mount *mount, const struct vaultref *ref,
		     struct strbuf *url, struct strbuf *why)
{
	const char *rest = ref->path + strlen(mount->path);

	if (ref->version && !mount->is_v2) {
		strbuf_addf(why, "?version= is for KV of version 2, which %s is not", mount->path);
		return false;
	}
	vaultref_escape(url, mount->path);
	if (mount->is_v2)
		strbuf_adds(url, "data/");
	vaultref_escape(url, rest);
	if (ref->version)
		strbuf_addf(url, "?version=%u", ref->version);
	return true;
}
