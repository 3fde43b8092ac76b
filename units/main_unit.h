#pragma once
/*
 * main.service: the unit that `holdfast [options] -- CMD` makes.
 */
#include "units/unit.h"

void main_unit_create(struct units *units);
