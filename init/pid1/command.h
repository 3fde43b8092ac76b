#pragma once
/*
 * Command mode: `holdfast -- CMD`, in the place of tini and dumb-init.
 */
#include "lib/options.h"

/*
 * Runs the command to its end, and with -w what it leaves behind. The exit status: the command's,
 * 128+n for a signal, 127 when it was not found, 126 when it could not be executed.
 */
int command_run(const struct options *options);
