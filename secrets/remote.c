#include <errno.h>
#include <string.h>
#include <sys/prctl.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/landlock.h"
#include "secrets/asm.h"
#include "secrets/aws.h"
#include "secrets/decode.h"
#include "secrets/http.h"
#include "secrets/identity.h"
#include "secrets/provider.h"
#include "secrets/run.h"
#include "secrets/shared.h"
#include "secrets/source.h"
#include "secrets/ssm.h"
#include "secrets/vault.h"

#include "gen/secrets/remote-filter.h"

/* What a resolver and TLS read while they work. Whatever a setting names was read before. */
static const char *const readable[] = {
	"/etc/ssl",
	"/usr/share/ca-certificates",
	"/usr/local/share/ca-certificates",
	"/usr/lib/ssl",
	"/etc/pki",
	"/etc/ca-certificates",
	"/etc/resolv.conf",
	"/etc/hosts",
	"/etc/nsswitch.conf",
	"/etc/gai.conf",
	"/etc/host.conf",
	"/etc/services",
	"/etc/ld.so.cache",
	"/lib",
	"/lib64",
	"/usr/lib",
	"/usr/lib64",
	"/run/systemd/resolve",
	"/usr/share/zoneinfo",
	"/etc/localtime",
};

static int remote_begin(struct run *run)
{
	decode_init();
	int r = http_init(run);
	if (r == 0)
		r = state_load(&remote_state, run->request.head.state_fd);
	if (r < 0)
		event_emit(EVENT_ERROR, "secrets-failed", run->request.head.unit,
			   "no memory for libraries: %s", strerror(-r));
	return r;
}

static int remote_prepare(struct run *run)
{
	int r = -EOPNOTSUPP;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		r = landlock_read_only(readable, ARRAY_COUNT(readable));
	if (r < 0)
		event_emit(EVENT_WARNING, "sandbox-reduced", run->request.head.unit,
			   "Landlock cannot be had (%s): secrets are fetched by a process that "
			   "may read what its uid may",
			   r == -EOPNOTSUPP ? "the kernel has none" : strerror(-r));
	return 0;
}

static void remote_finish(struct run *run)
{
	int r = state_save(&remote_state);

	if (r < 0)
		event_emit(EVENT_WARNING, "secrets-state", run->request.head.unit,
			   "what is to be remembered for the next run cannot be written: %s",
			   strerror(-r));
	aws_finish();
	state_finish(&remote_state);
	http_finish();
}

/* Each of them is asked for its references in this order. */
static const struct provider *const providers[] = {
	&source_provider, &ssm_provider, &asm_provider, &vault_provider, &identity_provider, NULL,
};

const struct secrets_program secrets_program = {
	.name = "holdfast-secrets-remote",
	.role = ROLE_SECRETS_REMOTE,
	.providers = providers,
	.schemes = "file:, env:, cred:, ssm:, asm: or vault:",
	SANDBOX_FILTER(secrets_remote_filter),
	.begin = remote_begin,
	.prepare = remote_prepare,
	.finish = remote_finish,
};
