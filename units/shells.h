#pragma once
/*
 * Nobody gets in: programs that give a login, and shells that would read commands from somebody.
 */
#include "units/arena.h"

/* Why the command may not be started, or NULL. path: absolute, its links followed; argv as it is
 * run. */
const char *shells_refusal(const char *path, const struct strings *argv);
