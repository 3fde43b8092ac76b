#pragma once
/*
 * What PID 1 itself puts into the store, before, beside and after the run of holdfast-boot.
 */
#include "init/pid1/instance.h"

/*
 * First: the table at STORE_FD, the programs, the environment (sealed, and wiped from our memory),
 * the output. Every fd but 0, 1 and 2 is closed. 0, or -errno with *ret_what saying what failed.
 */
int pack_begin(struct instance *in, const char **ret_what);

/*
 * As soon as boot knows how many units there are: the pipes of their streams, while it goes on. As
 * many as can be had; the rest, and what was wrong, is pack_finish's.
 */
void pack_units(struct instance *in, uint32_t n_units);

/*
 * Then, from what boot put: plan, board and journal mapped, the eventfds, a pipe for every stream,
 * our own stderr become one of them. As pack_begin.
 */
int pack_finish(struct instance *in, const char **ret_what);

/* Our own lines go to the stderr that we were given again. */
void pack_restore_stderr(struct instance *in);
