#pragma once
/*
 * Secrets that are on this machine already: file:PATH, env:NAME and cred:NAME. A source is opened
 * while the process still has the rights that it was started with, and read when it has none.
 */
#include "secrets/provider.h"

extern const struct provider source_provider;
