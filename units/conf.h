#pragma once
/*
 * holdfast.conf: the file, then what the environment and the command line say instead.
 */
#include "units/unit.h"

/* Reads it all into units->conf and units->public_conf. */
void conf_load(struct units *units);
