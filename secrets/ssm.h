#pragma once
/*
 * Parameter Store of Systems Manager: ssm:NAME[:version|:label], ten names a call, and ssm:PATH/ for
 * all that lies below a path, ten a page.
 */
#include "secrets/provider.h"
#include "secrets/run.h"

extern const struct provider ssm_provider;

struct ssm_reference {
	char *name; /* as the service is asked: NAME or NAME:SELECTOR; of a path with / at its end */
	size_t length; /* of NAME alone */
};

/* Takes apart what stands behind "ssm:". False with a sentence in why; name is to be freed by
 * secmem_free. */
bool ssm_parse(const char *rest, bool is_path, struct ssm_reference *ret_reference,
	       struct strbuf *why);
