#pragma once
/*
 * Nobody gets in: programs that give a login, and shells that would read commands from somebody.
 */
#include <stdbool.h>

#include "units/arena.h"

/* Why the command may not be started, or NULL. path: absolute, its links followed; argv as it is
 * run. */
const char *shells_refusal(const char *path, const struct strings *argv);

/* By name alone: a program that gives a login; a shell, or what can be one. name: without folders. */
bool shells_is_login(const char *name);
bool shells_is_shell(const char *name);
