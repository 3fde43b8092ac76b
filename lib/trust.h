#pragma once
/*
 * Opening a file on behalf of somebody who could not read it: only where nobody but root can have put
 * it. Else whoever may write to a directory on the way makes a link to /etc/shadow of it, and is
 * handed what it leads to.
 *
 * The path is walked by lib/walk.h, so that what was checked is what is opened, on kernels without
 * openat2(2) too. Each directory, link and file on the way either lies on a mount that is read-only, or is root's and writable by nobody else; of a sticky
 * directory (/tmp) it is enough that what is taken in it is root's.
 */
#include <stdbool.h>
#include <stddef.h>

/*
 * The regular file at the absolute path below root_fd, open for reading; *ret_is_writable: some of
 * the way lies on a mount that root may write to. -EPERM with a sentence in why when somebody else
 * might have put it there, or -errno. Processes that are not root's may open whatever they can: they
 * have no rights to lend.
 */
int trust_open(int root_fd, const char *path, bool *ret_is_writable, char *why, size_t size);
