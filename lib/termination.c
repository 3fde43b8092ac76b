#include "lib/termination.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"

#define TERMINATION_LOG	    "/dev/termination-log"
#define TERMINATION_LOG_MAX 4096

void termination_write(const char *text)
{
	CLEANUP(fd_closep)
	int fd = open(TERMINATION_LOG, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || ftruncate(fd, 0) < 0)
		return;
	(void)io_write_all(fd, text, strnlen(text, TERMINATION_LOG_MAX));
}
