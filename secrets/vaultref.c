#include "secrets/vaultref.h"

#include <string.h>

#define VERSION_QUERY "?version="

static bool segment_fits(const char *segment, size_t length, const char *what, struct strbuf *why)
{
	if (length == 0) {
		strbuf_addf(why, "%s has an empty part: write MOUNT/PATH, with single slashes",
			    what);
		return false;
	}
	if ((length == 1 && segment[0] == '.') ||
	    (length == 2 && segment[0] == '.' && segment[1] == '.')) {
		strbuf_addf(why, "%s has . or .. in it, which name no secret", what);
		return false;
	}
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)segment[i];
		if (c < 0x20 || c == 0x7F) {
			strbuf_addf(why, "%s has a control character in it", what);
			return false;
		}
	}
	return true;
}

bool vaultref_check_path(const char *text, const char *what, struct strbuf *why)
{
	if (strlen(text) > VAULTREF_PATH_MAX) {
		strbuf_addf(why, "%s is longer than %d bytes", what, VAULTREF_PATH_MAX);
		return false;
	}
	for (const char *at = text;; at++) {
		size_t length = strcspn(at, "/");
		if (!segment_fits(at, length, what, why))
			return false;
		at += length;
		if (*at == '\0')
			return true;
	}
}

/* Vault's own parts: a token may be allowed to read them, a unit has no business there. */
static bool is_reserved(const char *path)
{
	static const char *const mounts[] = {"sys/", "auth/", "identity/", "cubbyhole/"};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		if (str_starts(path, mounts[i]))
			return true;
	}
	return false;
}

/* "…?version=N" loses its end. */
static bool take_version(char *path, uint32_t *ret_version, struct strbuf *why)
{
	char *query = strchr(path, '?');
	uint64_t version;

	*ret_version = 0;
	if (!query)
		return true;
	if (!str_starts(query, VERSION_QUERY) ||
	    str_parse_u64(query + strlen(VERSION_QUERY), UINT32_MAX, &version) < 0 ||
	    version == 0) {
		strbuf_adds(why, "behind the path ?version=N may stand, with N from 1, and "
				 "nothing else");
		return false;
	}
	*query = '\0';
	*ret_version = (uint32_t)version;
	return true;
}

static bool take_key(const char *hash, bool needs_key, struct vaultref *ref, struct strbuf *why)
{
	const char *key = hash ? hash + 1 : "";

	if (!needs_key && hash) {
		strbuf_adds(why, "of a path each key is taken: #KEY has no place here");
		return false;
	}
	if (needs_key && key[0] == '\0') {
		strbuf_adds(why, "it names no key: a secret of Vault is an object, so write "
				 "vault:MOUNT/PATH#KEY for one value of it");
		return false;
	}
	if (strstr(key, VERSION_QUERY)) {
		strbuf_adds(why, "?version=N stands in front of #KEY: "
				 "vault:MOUNT/PATH?version=N#KEY");
		return false;
	}
	if (!str_copy(ref->key, sizeof(ref->key), key)) {
		strbuf_addf(why, "its key is longer than %d bytes", VAULTREF_KEY_MAX);
		return false;
	}
	return true;
}

bool vaultref_parse(const char *text, bool needs_key, struct vaultref *ret_ref, struct strbuf *why)
{
	char path[VAULTREF_PATH_MAX + sizeof(VERSION_QUERY) + 16];
	const char *hash = strchr(text, '#');
	size_t length = hash ? (size_t)(hash - text) : strlen(text);
	struct vaultref ref = {0};

	if (length >= sizeof(path)) {
		strbuf_addf(why, "its path is longer than %d bytes", VAULTREF_PATH_MAX);
		return false;
	}
	memcpy(path, text, length);
	path[length] = '\0';
	if (!take_key(hash, needs_key, &ref, why) || !take_version(path, &ref.version, why) ||
	    !vaultref_check_path(path, "its path", why))
		return false;
	if (!strchr(path, '/')) {
		strbuf_adds(why, "it names a mount and no secret in it: write "
				 "vault:MOUNT/PATH#KEY");
		return false;
	}
	if (is_reserved(path)) {
		strbuf_adds(why, "sys/, auth/, identity/ and cubbyhole/ are Vault's own and hold "
				 "no secrets of a unit");
		return false;
	}
	(void)str_copy(ref.path, sizeof(ref.path), path);
	*ret_ref = ref;
	return true;
}

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
}

void vaultref_escape(struct strbuf *buf, const char *path)
{
	for (const unsigned char *at = (const unsigned char *)path; *at; at++) {
		if (is_plain(*at))
			strbuf_addc(buf, (char)*at);
		else
			strbuf_addf(buf, "%%%02X", *at);
	}
}
