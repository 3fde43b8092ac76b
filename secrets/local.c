/*
 * holdfast-secrets: secrets that are on this machine already. Static, libc alone.
 */
#include "secrets/provider.h"
#include "secrets/source.h"

#include "gen/secrets/filter.h"

static const struct provider *const providers[] = {&source_provider, NULL};

const struct secrets_program secrets_program = {
	.name = "holdfast-secrets",
	.role = ROLE_SECRETS,
	.providers = providers,
	.schemes = "file:, env: or cred: here; others need holdfast-secrets-remote",
	SANDBOX_FILTER(secrets_filter),
};
