#pragma once
/*
 * Who needs whom: names become units, every relation gets its inverse, and what cannot work is said.
 */
#include "units/unit.h"

/* After load_all: takes out what is no part of the instance, numbers the rest and fills related[],
 * then looks for cycles. */
void graph_build(struct units *units);
