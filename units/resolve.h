#pragma once
/*
 * From what a service's files say to what will be run: ids, the final environment, and command
 * lines with nothing left to find out but what is known only when they run.
 */
#include "units/unit.h"

void resolve_unit(struct units *units, struct unit *unit);
