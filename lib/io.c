#include "lib/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

int io_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

ssize_t io_read_full(int fd, void *data, size_t size)
{
	char *at = data;
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, at + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t io_read_file(int dirfd, const char *path, char *buffer, size_t size)
{
	CLEANUP(fd_closep)
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	ssize_t n = io_read_full(fd, buffer, size);
	if (n < 0)
		return n;
	if ((size_t)n == size)
		return -EFBIG;
	buffer[n] = '\0';
	return n;
}

int io_write_file(int dirfd, const char *path, const char *text)
{
	CLEANUP(fd_closep) int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return io_write_all(fd, text, strlen(text));
}
