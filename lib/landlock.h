#pragma once
/*
 * Landlock: from here on this process reads what lies at or below some paths, or nothing at all,
 * and opens nothing else. A rung of lib/sandbox.h's ladder that needs Linux 5.13 and is not in every kernel.
 */
#include <stddef.h>

/* Needs no_new_privs (or CAP_SYS_ADMIN) to be set already. Paths that do not exist are left out; a
 * symbolic link stands for what it leads to. 0, -EOPNOTSUPP where the kernel has none of it, or
 * -errno. */
int landlock_read_only(const char *const *paths, size_t n);

/* Opens nothing, makes nothing, executes nothing, whatever the path. Where the kernel can (6.7,
 * 6.12): makes and takes no TCP connection of its own, and neither signals who is outside nor
 * speaks to their abstract sockets. What is open already stays as it is. Needs and returns what
 * landlock_read_only does. */
int landlock_nothing(void);
