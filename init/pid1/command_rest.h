#pragma once
/*
 * Finding and signalling whatever is left below this process, or, as PID 1, in its PID namespace.
 */
#include <stddef.h>
#include <sys/types.h>

/*
 * Sends the signal to every process below this one. 0, or -errno when they cannot be found because
 * /proc does not show this PID namespace (PID 1 needs none). Allocates nothing.
 */
int command_rest_signal(int signal);

/* From now on by the /proc of this moment, for when no path leads there. */
void command_rest_keep_proc(void);

/*
 * The same for all but those of except (0: nobody), and counts them, zombies aside; signal 0 only counts.
 * This way PID 1 needs /proc too, and reaches also what entered its namespace from outside.
 */
#define COMMAND_REST_EXCEPT 3
int command_rest_reach(int signal, const pid_t except[COMMAND_REST_EXCEPT], size_t *ret_count);
