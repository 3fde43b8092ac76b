#pragma once
/*
 * imds: — what an instance of EC2 says of itself, for [Identity] of holdfast.conf. Boot alone asks
 * for it: units/reference.c lets no unit do so.
 */
#include "secrets/provider.h"

extern const struct provider identity_provider;
