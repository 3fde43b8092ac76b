#pragma once
/*
 * Nobody gets in: programs that give a login, and shells that would read commands from somebody.
 */
#include <stdbool.h>

#include "units/arena.h"

/* Where a program leads: of a path, or of a name as it is searched for, the path behind its links
 * (borrowed until the next call); NULL where there is no such program. */
typedef const char *shells_follow(void *context, const char *program);

/* Why the command may not be started, or NULL. It is judged by what it is called, by what its links
 * lead to, and by what it would become (env sh). argv as it is run. */
const char *shells_refusal(const char *path, const struct strings *argv, shells_follow *follow,
			   void *context);

/* By name alone: a program that gives a login; a shell, or what can be one. name: without folders. */
bool shells_is_login(const char *name);
bool shells_is_shell(const char *name);
/* One that is there to run another program, which its command line names (env, timeout). */
bool shells_is_wrapper(const char *name);
