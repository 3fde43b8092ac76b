#pragma once
/*
 * What only the init of a machine does: it cannot just exit, since the kernel would panic.
 */
#include <stdbool.h>

#include "init/pid1/instance.h"

/* PID 1 of the first PID namespace: the kernel started us. */
bool host_is_first_init(void);

/* That, or there is no /proc yet that could tell. */
bool host_may_be_first_init(void);

/* On a host, once all is mapped: a page of ours that the kernel gave back would have to come from a disk,
 * which may be what the machine's end is about. */
void host_stay_in_memory(void);

/* What becomes of the machine when PID 1 is sent the signal: as systemd(1) has it where it has it. */
enum machine_end host_end_of_signal(int signal);

/* Settles what becomes of the machine, from what was asked for or how the instance ended; and from here
 * on it ends after timeout_us, whatever hangs, PID 1 itself too. */
void host_begin_end(struct instance *in, uint64_t timeout_us);

/* On a host, once the end has begun: nobody asked for it, and something is wrong. */
bool host_has_failed(const struct instance *in);

/* The machine ends. */
_Noreturn void host_end(const struct instance *in);
