#pragma once
/*
 * Environments: assignments, EnvironmentFile='s format, and variables in command lines
 * (systemd.exec(5), systemd.service(5)).
 */
#include <stdbool.h>
#include <stddef.h>

#include "units/arena.h"

#define ENVIRONMENT_MAX 4096 /* assignments of one unit */

/* A name of length bytes: letters, digits and _, no digit first. */
bool environment_name_is_valid(const char *name, size_t length);

/* Sets NAME=VALUE, in place of an older one. False when there are too many. */
bool environment_set(struct arena *arena, struct strings *environment, const char *assignment);
/* Removes a name, or with NAME=VALUE that assignment alone. */
void environment_unset(struct strings *environment, const char *text);
/* The value of the name of length bytes, or NULL. */
const char *environment_get(const struct strings *environment, const char *name, size_t length);

/*
 * Reads the text of an EnvironmentFile= into environment. Lines that are no assignment are passed
 * over, each with a call of complain.
 */
void environment_read(struct arena *arena, const char *text, struct strings *environment,
		      void (*complain)(void *context, unsigned line, const char *message),
		      void *context);
