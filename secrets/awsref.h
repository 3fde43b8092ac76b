#pragma once
/*
 * References to AWS: ssm:NAME[:version|:label], ssm:PATH/ and asm:SECRET[#json-key][@stage|version].
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"

#define AWSREF_NAME_MAX	  2048 /* of a name or ARN */
#define AWSREF_REGION_MAX 64   /* with its NUL */

/* Letters, digits and hyphens: it becomes part of a host's name. */
bool awsref_is_region(const char *region);

struct ssm_reference {
	char *name; /* as the service is asked: NAME or NAME:SELECTOR; of a path with / at its end */
	size_t length;			/* of NAME alone */
	char region[AWSREF_REGION_MAX]; /* of an ARN; empty: the one that we are in */
};

/* Takes apart what stands behind "ssm:". False with a sentence in why; name is to be freed by
 * secmem_free. */
bool ssm_parse(const char *rest, bool is_path, struct ssm_reference *ret_reference,
	       struct strbuf *why);

struct asm_reference {
	char *id;    /* name or ARN */
	char *key;   /* of a JSON object; NULL: the whole value */
	char *stage; /* a stage or, when is_version, a version's id; NULL: AWSCURRENT */
	bool is_version;
	char region[AWSREF_REGION_MAX]; /* as above */
};

/* Takes apart what stands behind "asm:". False with a sentence in why. */
bool asm_parse(const char *rest, struct asm_reference *ret_reference, struct strbuf *why);
void asm_reference_finish(struct asm_reference *reference);
