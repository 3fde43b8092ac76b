#pragma once
/*
 * File descriptors: owners, moves, and closing what is not ours. The empty fd is -EBADF, so that
 * a use of it names its own error.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* Closes fd if it is one and returns -EBADF, for fd = fd_close(fd). Keeps errno. */
int fd_close(int fd);
void fd_closep(int *fd);
void fd_closedirp(DIR **dir);

/* Moves *fd to the caller and leaves the empty fd behind. */
int fd_steal(int *fd);

/* FD_CLOEXEC on or off. 0 or -errno (fcntl(2)). */
int fd_set_cloexec(int fd, bool on);

/*
 * Closes every fd from first on: close_range(2), else by /proc/self/fd, else one by one up to
 * RLIMIT_NOFILE. 0 or -errno.
 */
int fd_close_from(int first);

/* Opens what fd refers to once more, with a description of its own, by /proc/self/fd (proc(5)).
 * A new fd (O_CLOEXEC is added), or -errno; -ENXIO for sockets. */
int fd_reopen(int fd, int flags);

/*
 * Gives the file its first size bytes now, where they lie and without changing its length: a mapped
 * page that the file system cannot provide any more would be a SIGBUS. 0, -ENOSPC, or -errno; a file
 * system that cannot reserve is no error.
 */
int fd_reserve(int fd, uint64_t size);

/* Opens /dev/null on each of 0, 1 and 2 that is closed, so that no later open lands there.
 * 0 or -errno. */
int fd_ensure_stdio(void);
