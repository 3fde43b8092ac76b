#pragma once
/* Reads the templates of a unit and says what is wrong in them, file, line and column first: a name
 * that the unit has no value for, braces, filters. What a value may bring is seen when it is there. */
#include "units/unit.h"

void templates_check(struct units *units, const struct unit *unit);
