#pragma once
/*
 * imds: — what an instance of EC2 says of itself, for [Identity] of holdfast.conf. Its own
 * unit alone asks for it (units/identity.h): lib/reference.c lets no other one do so.
 */
#include "secrets/provider.h"

extern const struct provider identity_provider;
