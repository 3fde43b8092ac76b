#pragma once
/*
 * What holdfast-explain has to say of refusals: who was kept out, what was not executed, and whom
 * nobody could keep out.
 */
#include "tools/evidence.h"

/* All of it, behind what went wrong. How many sentences it was. */
int refusals_say(const struct evidence *evidence);
/* Who ended the instance by being out of reach. */
void refusals_say_unkillable(const struct evidence *evidence);
