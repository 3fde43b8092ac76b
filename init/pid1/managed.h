#pragma once
/*
 * Managed mode: PID 1 of units, with holdfast-boot, the supervisor, log and health as its children.
 */
#include "lib/options.h"

/* Runs the instance to its end. The exit status. */
int managed_run(const struct options *options);
