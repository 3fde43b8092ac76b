#pragma once
/*
 * Whole reads and writes: EINTR and short counts end here.
 */
#include <stddef.h>
#include <sys/types.h>

/* Writes all of it. 0 or -errno; on a non-blocking fd -EAGAIN may come after a part. */
int io_write_all(int fd, const void *data, size_t size);

/* Reads until size bytes or end of file. The count, or -errno. */
ssize_t io_read_full(int fd, void *data, size_t size);

/*
 * Reads a whole small file below dirfd into buffer and ends it with NUL. The length without the
 * NUL, or -errno; -EFBIG when size - 1 bytes do not hold it. Never waits: a FIFO reads as empty.
 */
ssize_t io_read_file(int dirfd, const char *path, char *buffer, size_t size);

/* Writes text to an existing file in one write(2), as /proc and /sys want it. 0 or -errno. */
int io_write_file(int dirfd, const char *path, const char *text);
