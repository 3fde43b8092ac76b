#pragma once
/*
 * The metadata service of EC2, in its second version alone: a token by PUT, then what is asked for.
 * The first version answers whoever can make a GET, which is how its credentials are stolen.
 */
#include "lib/secretreport.h"
#include "lib/str.h"
#include "secrets/run.h"

/* AWS_EC2_METADATA_DISABLED. */
bool imds_is_disabled(const struct run *run);

/* What stands at path ("/latest/meta-data/placement/region"): memory for secmem_free, NUL-ended.
 * On any outcome but SECRET_OK a sentence is in why. */
enum secret_outcome imds_get(struct run *run, const char *path, char **ret_text, size_t *ret_length,
			     struct strbuf *why);

/* Wipes the token. */
void imds_finish(void);
