/* TESTS: secrets/awsref.c secrets/secmem.c lib/str.c */
/*
 * Any text as a reference to AWS: refused with a reason, or taken apart into pieces of it, of which
 * none is empty.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/awsref.h"
#include "secrets/secmem.h"

static void check(bool is_good, const struct strbuf *why)
{
	if (is_good == (why->length > 0))
		abort();
}

static void check_asm(const char *text)
{
	char sentence[256];
	struct strbuf why;
	struct asm_reference reference;

	strbuf_init(&why, sentence, sizeof(sentence));
	bool is_good = asm_parse(text, &reference, &why);
	check(is_good, &why);
	if (!is_good)
		return;
	size_t length = strlen(reference.id) + (reference.key ? 1 + strlen(reference.key) : 0) +
			(reference.stage ? 1 + strlen(reference.stage) : 0);
	if (length != strlen(text) || !str_starts(text, reference.id) || reference.id[0] == '\0' ||
	    (reference.key && reference.key[0] == '\0') ||
	    (reference.stage && reference.stage[0] == '\0'))
		abort();
	asm_reference_finish(&reference);
}

static void check_ssm(const char *text, bool is_path)
{
	char sentence[256];
	struct strbuf why;
	struct ssm_reference reference;

	strbuf_init(&why, sentence, sizeof(sentence));
	bool is_good = ssm_parse(text, is_path, &reference, &why);
	check(is_good, &why);
	if (!is_good)
		return;
	if (!str_starts(reference.name, text) || reference.length > strlen(reference.name) ||
	    is_path != str_ends(reference.name, "/") || reference.length == 0)
		abort();
	secmem_free(reference.name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check_asm(text);
	check_ssm(text, false);
	check_ssm(text, true);
	free(text);
	return 0;
}
