#pragma once
/*
 * Who listens where, over all socket units and [Health]: of two that want the same, the kernel would
 * call the first "in use" without a word about who that is, and of a path the second would take the
 * first one's place in silence.
 */
#include "units/unit.h"

/* An error at the later of two, with the place of the earlier. */
void listen_check(struct units *units);
