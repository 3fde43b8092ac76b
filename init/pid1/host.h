#pragma once
/*
 * What only the init of a machine does: it cannot just exit, since the kernel would panic.
 */
#include <stdbool.h>

/* PID 1 of the first PID namespace: the kernel started us. */
bool host_is_first_init(void);

/* That, or there is no /proc yet that could tell. */
bool host_may_be_first_init(void);

/* Unmounts what can be unmounted and makes read-only what cannot, then syncs. May hang for as long
 * as a disk does, and allocates: for a child that can be given up. */
void host_unmount_all(void);

/* Powers the machine off, or restarts it. Returns only when that is refused. */
void host_end(bool is_restart);
