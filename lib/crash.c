#include "lib/crash.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef HOLDFAST_CRASH_POINTS

bool crash_is_wanted(void)
{
	return getenv("HOLDFAST_CRASH");
}

void crash_point(const char *name)
{
	static unsigned passed;
	const char *wanted = getenv("HOLDFAST_CRASH");
	size_t length = strlen(name);

	if (!wanted || strncmp(wanted, name, length) != 0 || wanted[length] != ':')
		return;
	char *rest;
	unsigned long n = strtoul(wanted + length + 1, &rest, 10);
	if (++passed < n || *rest != ':')
		return;
	bool is_frozen = rest[1] == '+';
	/* The bare call: musl's open() sets FD_CLOEXEC once more, by a call that filters refuse. */
	if (syscall(SYS_openat, AT_FDCWD, rest + 1 + is_frozen,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		return;
	(void)kill(getpid(), is_frozen ? SIGSTOP : SIGKILL);
}

#endif
