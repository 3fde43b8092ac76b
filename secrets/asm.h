#pragma once
/*
 * Secrets Manager: asm:SECRET[#json-key][@stage|version]. Twenty secrets a call where that is
 * allowed, one by one where it is not; a refresh asks which version has the stage, and fetches what
 * is another than before.
 */
#include "secrets/provider.h"
#include "secrets/run.h"

extern const struct provider asm_provider;
