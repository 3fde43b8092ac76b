#pragma once
/*
 * What holdfast-explain tells by the errors that holdfast noted: which secrets a unit did not get,
 * and what went wrong without an end to show for it.
 */
#include "tools/evidence.h"

/* The last of each kind of failure of a secret of that unit; how many. */
int failures_say_secrets(const struct evidence *evidence, const char *unit);
/* Why a unit that is started again and again does not stay up, where its end does not say it: its
 * probe, its secrets. How many sentences. */
int failures_say_last(const struct evidence *evidence, const char *unit);
/* For an account that found no other cause: the errors, each once. How many. */
int failures_say_errors(const struct evidence *evidence);
