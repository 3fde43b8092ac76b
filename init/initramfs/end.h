#pragma once
/*
 * How a boot that failed ends: the machine powers off (it is replaced, not repaired), or restarts
 * where a word says so, or the kernel cannot power off. There is no prompt and no other way on, and
 * it cannot be waited out: a watcher of its own does the same when all of it takes too long.
 */
#include <stdint.h>
#include <sys/types.h>

#include "lib/machine.h"

/* Writes out what the console still has to say, and ends the machine. */
_Noreturn void end_boot(enum machine_end how);

/*
 * Starts the watcher, a process: a call that hangs in the kernel (a driver, a disk) cannot stop it.
 * Its pid, or -errno. deadline_us: lib/clock.h.
 */
pid_t end_watch(uint64_t deadline_us, enum machine_end how);

/* Takes it back; the pid may be one that could not be had. */
void end_unwatch(pid_t pid);
