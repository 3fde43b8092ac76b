#pragma once
/*
 * The one run of holdfast-boot: from its start to the daemons' start, or to the end of everything.
 */
#include "init/pid1/instance.h"

/* Starts it. A failure begins the end. */
void boot_start(struct instance *in);

/* TIMER_BOOT: on a host a boot that hangs is one that failed. */
void boot_give_up(struct instance *in);

/* It sent what it may not: it is killed, and the instance will not come up. */
void boot_refuse(struct instance *in);

/* It is reaped: goes on to the daemons, or ends with its status. */
void boot_note_end(struct instance *in, int code, int status);

/* A stop was asked for while it runs. */
void boot_interrupt(struct instance *in, int signal);
