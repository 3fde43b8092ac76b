#include "lib/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/sys.h"

int fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = saved;
	return -EBADF;
}

void fd_closep(int *fd)
{
	*fd = fd_close(*fd);
}

void fd_closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
	*dir = NULL;
}

int fd_steal(int *fd)
{
	int taken = *fd;

	*fd = -EBADF;
	return taken;
}

int fd_set_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return -errno;
	int wanted = on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
	if (wanted == flags)
		return 0;
	return fcntl(fd, F_SETFD, wanted) < 0 ? -errno : 0;
}

static int close_listed(int first)
{
	DIR *dir = opendir("/proc/self/fd");

	if (!dir)
		return -errno;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		char *end;
		long n = strtol(e->d_name, &end, 10);
		if (*end || end == e->d_name || n < first || n == dirfd(dir))
			continue;
		(void)close((int)n);
	}
	(void)closedir(dir);
	return 0;
}

int fd_close_from(int first)
{
	if (sys_close_range((unsigned)first, ~0U, 0) == 0)
		return 0;
	if (close_listed(first) == 0)
		return 0;
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	for (rlim_t fd = (rlim_t)first; fd < limit.rlim_max && fd < 1U << 20; fd++)
		(void)close((int)fd);
	return 0;
}

int fd_reopen(int fd, int flags)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, flags | O_CLOEXEC);
	return again < 0 ? -errno : again;
}

int fd_reserve(int fd, uint64_t size)
{
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0 && errno != EOPNOTSUPP &&
	    !SYS_IS_MISSING(errno))
		return -errno;
	return 0;
}

int fd_ensure_stdio(void)
{
	for (;;) {
		int fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return fcntl(2, F_GETFD) < 0 ? -errno : 0;
		if (fd > 2) {
			(void)close(fd);
			return 0;
		}
	}
}
