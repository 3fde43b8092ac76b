#pragma once
/*
 * What an image has to have of holdfast's own programs. At boot they are what lies beside PID 1, and
 * boot itself looks (init/boot/secrets.c); of a tree that is only looked at, holdfast is searched
 * where it is usually put, and nothing is said of a tree that has none.
 */
#include "units/unit.h"

/* An error for each reference that only holdfast-secrets-remote can follow, a warning for each
 * variable of [Identity], where the tree has holdfast and not that. */
void programs_check(struct units *units);
