#include "secrets/identity.h"

#include <string.h>

#include "lib/cleanup.h"
#include "secrets/imds.h"
#include "secrets/pick.h"
#include "secrets/run.h"
#include "secrets/secmem.h"

#define PATH_MAX_BYTES 512
#define VALUE_MAX      1024

/* user-data, dynamic/… and tags/…, placement/… and all else below meta-data. */
static bool make_path(const char *rest, char *path, size_t size)
{
	bool is_whole = str_starts(rest, "user-data") || str_starts(rest, "dynamic/") ||
			str_starts(rest, "meta-data/");
	struct strbuf buf;

	strbuf_init(&buf, path, size);
	strbuf_adds(&buf, is_whole ? "/latest/" : "/latest/meta-data/");
	strbuf_add(&buf, rest, strcspn(rest, "#"));
	return !buf.is_cut;
}

static enum secret_outcome identity_open(struct run *run, struct secret *secret, const char *rest,
					 struct strbuf *why)
{
	char path[PATH_MAX_BYTES];

	(void)run;
	(void)secret;
	if (*rest == '\0' || *rest == '/' || *rest == '#' || strstr(rest, "..") ||
	    strpbrk(rest, "?% ") || !make_path(rest, path, sizeof(path))) {
		strbuf_adds(why, "expected imds:user-data#KEY, imds:tags/instance/KEY or another "
				 "path of the metadata");
		return SECRET_MALFORMED;
	}
	return SECRET_OK;
}

/* It becomes part of references: a tag that has more in it is none of ours. */
static void give(struct run *run, struct secret *secret, const char *text, size_t length)
{
	bool is_line = length > 0 && length <= VALUE_MAX;

	for (size_t i = 0; i < length && is_line; i++)
		is_line = (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
	if (is_line)
		run_give(run, secret, text, length, NULL);
	else
		run_fail(run, secret, SECRET_MALFORMED,
			 "expected one line of text, of at most %d bytes", VALUE_MAX);
}

static void give_key(struct run *run, struct secret *secret, const char *text, size_t length,
		     const char *key)
{
	size_t size = 0;

	CLEANUP(secmem_freep) char *value = pick_value(text, length, key, &size);
	if (value)
		give(run, secret, value, size);
	else
		run_fail(run, secret, SECRET_MALFORMED,
			 "what stands there has no %s: expected a JSON object or lines KEY=VALUE",
			 key);
}

static void fetch_one(struct run *run, struct secret *secret)
{
	const char *rest = strchr(secret->item.reference, ':') + 1;
	const char *key = strchr(rest, '#');
	char path[PATH_MAX_BYTES], text[RUN_WHY_MAX];
	size_t length = 0;
	struct strbuf why;

	strbuf_init(&why, text, sizeof(text));
	CLEANUP(secmem_freep) char *reply = NULL;
	(void)make_path(rest, path, sizeof(path));
	enum secret_outcome outcome = imds_get(run, path, &reply, &length, &why);
	if (outcome == SECRET_NOT_FOUND && str_starts(rest, "tags/"))
		strbuf_adds(&why, "; tags are shown only where the instance's metadata options "
				  "have InstanceMetadataTags=enabled");
	/* A variable that nobody has set is a fault of the configuration, wherever it was to be. */
	if (outcome != SECRET_OK)
		run_fail(run, secret, outcome == SECRET_NOT_FOUND ? SECRET_MALFORMED : outcome,
			 "%s", text);
	else if (key)
		give_key(run, secret, reply, length, key + 1);
	else
		give(run, secret, reply, length);
}

static void identity_fetch(struct run *run)
{
	struct secret *secret;
	uint32_t cursor = 0;

	if (imds_is_disabled(run)) {
		run_fail_all(run, &identity_provider, SECRET_DENIED,
			     "AWS_EC2_METADATA_DISABLED is set (MetadataDisabled= in [Secrets])");
		return;
	}
	while ((secret = run_next(run, &identity_provider, &cursor)))
		fetch_one(run, secret);
}

static const char *const schemes[] = {"imds:", NULL};

const struct provider identity_provider = {
	.schemes = schemes,
	.open = identity_open,
	.fetch = identity_fetch,
};
