#include "secrets/awsref.h"

#include <string.h>

#include "secrets/secmem.h"

bool awsref_is_region(const char *region)
{
	size_t length = strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return length > 0 && length <= 40 && region[length] == '\0' && region[0] != '-';
}

/* The fourth part of an ARN: whoever asks in another region finds nothing. */
static bool take_region(const char *name, char *region, struct strbuf *why)
{
	const char *at = str_starts(name, "arn:") ? name : NULL;

	region[0] = '\0';
	if (!at)
		return true;
	for (int i = 0; i < 3 && at; i++) {
		at = strchr(at, ':');
		at = at ? at + 1 : NULL;
	}
	size_t length = at ? strcspn(at, ":") : 0;
	if (length < AWSREF_REGION_MAX && at && at[length] == ':') {
		memcpy(region, at, length);
		region[length] = '\0';
	}
	if (region[0] != '\0' && awsref_is_region(region))
		return true;
	strbuf_adds(why, "an ARN was expected to name a region: arn:aws:SERVICE:REGION:ACCOUNT:…");
	return false;
}

/* ---- ssm: */

/* The colon before version or label; of an ARN, none of the five that it has itself. */
static const char *find_selector(const char *text)
{
	if (str_starts(text, "arn:")) {
		for (int i = 0; i < 5 && text; i++) {
			text = strchr(text, ':');
			text = text ? text + 1 : NULL;
		}
	}
	return text ? strchr(text, ':') : NULL;
}

bool ssm_parse(const char *rest, bool is_path, struct ssm_reference *ret_reference,
	       struct strbuf *why)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.-/:";
	size_t length = strlen(rest);
	const char *selector = find_selector(rest);

	if (length == 0 || length > AWSREF_NAME_MAX || rest[strspn(rest, letters)] != '\0') {
		strbuf_adds(why, "ssm: wants the name of a parameter: letters, digits and _ . - /");
		return false;
	}
	if (is_path && (rest[0] != '/' || selector)) {
		strbuf_adds(why,
			    "a path of parameters starts with / and has no version: ssm:/app/");
		return false;
	}
	if (!is_path && rest[length - 1] == '/') {
		strbuf_adds(why, "this is a path of parameters: use SecretPath=");
		return false;
	}
	if (selector && (selector[1] == '\0' || selector == rest || strpbrk(selector + 1, ":/"))) {
		strbuf_adds(why, "behind the name stands :VERSION or :LABEL");
		return false;
	}
	struct ssm_reference reference = {0};
	if (!take_region(rest, reference.region, why))
		return false;
	char *name = secmem_alloc(length + 2);
	if (!name) {
		strbuf_adds(why, "out of memory");
		return false;
	}
	memcpy(name, rest, length + 1);
	if (is_path && rest[length - 1] != '/')
		memcpy(name + length, "/", 2);
	reference.name = name;
	reference.length = selector ? (size_t)(selector - rest) : strlen(name);
	*ret_reference = reference;
	return true;
}

/* ---- asm: */

static char *copy_part(const char *from, size_t length)
{
	char *copy = secmem_alloc(length + 1);

	if (copy) {
		memcpy(copy, from, length);
		copy[length] = '\0';
	}
	return copy;
}

/* 8-4-4-4-12 hexadecimal digits, as versions are called; all else is a stage. */
static bool is_version_id(const char *text)
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		bool fits = shape[i] == '-'
				    ? text[i] == '-'
				    : text[i] != '\0' && strchr("0123456789abcdefABCDEF", text[i]);
		if (!fits)
			return false;
	}
	return text[sizeof(shape) - 1] == '\0';
}

void asm_reference_finish(struct asm_reference *reference)
{
	secmem_free(reference->id);
	secmem_free(reference->key);
	secmem_free(reference->stage);
	*reference = (struct asm_reference){0};
}

bool asm_parse(const char *rest, struct asm_reference *ret_reference, struct strbuf *why)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789/_+=.@-:";
	struct asm_reference reference = {0};
	const char *hash = strchr(rest, '#');
	const char *at = strrchr(hash ? hash : rest, '@');
	const char *id_end = hash ? hash : at ? at : rest + strlen(rest);
	const char *key_end = at ? at : rest + strlen(rest);

	if (id_end == rest || id_end - rest > AWSREF_NAME_MAX ||
	    strspn(rest, letters) < (size_t)(id_end - rest)) {
		strbuf_adds(why, "asm: wants the name or ARN of a secret: letters, digits and "
				 "/ _ + = . @ -");
		return false;
	}
	if ((hash && key_end == hash + 1) || (at && at[1] == '\0')) {
		strbuf_adds(why, "behind # stands the key of a JSON object, behind @ a stage or a "
				 "version");
		return false;
	}
	if (!take_region(rest, reference.region, why))
		return false;
	reference.id = copy_part(rest, (size_t)(id_end - rest));
	if (hash)
		reference.key = copy_part(hash + 1, (size_t)(key_end - hash - 1));
	if (at)
		reference.stage = copy_part(at + 1, strlen(at + 1));
	if (!reference.id || (hash && !reference.key) || (at && !reference.stage)) {
		asm_reference_finish(&reference);
		strbuf_adds(why, "out of memory");
		return false;
	}
	reference.is_version = reference.stage && is_version_id(reference.stage);
	*ret_reference = reference;
	return true;
}
