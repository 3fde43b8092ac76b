/* TESTS: secrets/vaultref.c lib/str.c */
/*
 * Any text as a reference to Vault: what is taken has a path below a mount that is not Vault's own, and
 * its URL has nothing in it that would end a path; what is refused has a sentence.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/vaultref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct vaultref *ref, bool needs_key)
{
	char url[VAULTREF_URL_MAX + 1];
	struct strbuf buf;

	demand((ref->key[0] != '\0') == needs_key);
	demand(strchr(ref->path, '/') && ref->path[0] != '/');
	demand(!strstr(ref->path, "//") && !strstr(ref->path, "/../"));
	demand(!str_starts(ref->path, "sys/") && !str_starts(ref->path, "auth/"));
	demand(!str_ends(ref->path, "/") && !str_ends(ref->path, "/.."));
	strbuf_init(&buf, url, sizeof(url));
	vaultref_escape(&buf, ref->path);
	demand(!buf.is_cut && url[strcspn(url, "?# \r\n\t")] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[4097], sentence[512];
	struct strbuf why;
	struct vaultref ref;

	if (size == 0 || size > sizeof(text))
		return 0;
	bool needs_key = data[0] & 1;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	strbuf_init(&why, sentence, sizeof(sentence));
	if (vaultref_parse(text, needs_key, &ref, &why))
		check(&ref, needs_key);
	else
		demand(why.length > 0);
	return 0;
}
