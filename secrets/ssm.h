#pragma once
/*
 * Parameter Store of Systems Manager: ssm:NAME[:version|:label], ten names a call, and ssm:PATH/ for
 * all that lies below a path, ten a page.
 */
#include "secrets/provider.h"
#include "secrets/run.h"

extern const struct provider ssm_provider;
