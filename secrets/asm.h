#pragma once
/*
 * Secrets Manager: asm:SECRET[#json-key][@stage|version]. Twenty secrets a call where that is
 * allowed, one by one where it is not; a refresh asks which version has the stage, and fetches what
 * is another than before.
 */
#include "secrets/provider.h"
#include "secrets/run.h"

extern const struct provider asm_provider;

struct asm_reference {
	char *id;    /* name or ARN */
	char *key;   /* of a JSON object; NULL: the whole value */
	char *stage; /* a stage or, when is_version, a version's id; NULL: AWSCURRENT */
	bool is_version;
};

/* Takes apart what stands behind "asm:". False with a sentence in why. */
bool asm_parse(const char *rest, struct asm_reference *ret_reference, struct strbuf *why);
void asm_reference_finish(struct asm_reference *reference);
