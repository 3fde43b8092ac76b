#pragma once
/* vault:MOUNT/PATH#KEY, of HashiCorp Vault and OpenBao. */
#include "secrets/provider.h"

extern const struct provider vault_provider;
