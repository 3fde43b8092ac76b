#pragma once
/*
 * Logging in to Vault as an IAM identity: a request for sts:GetCallerIdentity is signed and not sent
 * but handed to Vault, which sends it and so learns from AWS who signed.
 *
 * Vault sends it to the endpoint that it was configured with, which has to be the one that it was
 * signed for: the global one in us-east-1, unless HOLDFAST_VAULT_IAM_REGION says which region's.
 */
#include "lib/secretreport.h"
#include "lib/str.h"
#include "secrets/run.h"
#include "secrets/vaultconf.h"

/* The body of the login, as memory to be wiped (secrets/secmem.h). */
enum secret_outcome vault_aws_body(struct run *run, const struct vault_conf *conf, char **ret_body,
				   struct strbuf *why);
