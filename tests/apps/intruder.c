/*
 * Somebody who is not wanted here, once started: he waits a while, and says so if nobody has stopped
 * him. What he prints stands nowhere as a text, so that no message about him can be taken for it.
 *
 *   intruder [--join NAMESPACE] [--as UID] [--orphan | --run] [SECONDS]
 *
 *   --join     enters that PID namespace first, by one fork and no exec
 *   --as       with that uid and gid, and no capability
 *   --orphan   twice forked and in a session of his own: nobody's child but PID 1's
 *   --run      never the same process for long: it forks and ends, over and over
 */
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void leave_parents(void)
{
	if (fork() != 0)
		_exit(0);
	(void)setsid();
	if (fork() != 0)
		_exit(0);
}

static void join(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWPID) < 0)
		_exit(99);
	if (fork() != 0)
		_exit(0);
}

static void become(const char *id)
{
	unsigned number = (unsigned)strtoul(id, NULL, 10);

	if (setgroups(0, NULL) < 0 || setgid(number) < 0 || setuid(number) < 0)
		_exit(98);
}

static double now(void)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void run_until(double end)
{
	while (now() < end) {
		if (fork() != 0)
			_exit(0);
	}
}

static void rest_until(double end)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

	while (now() < end)
		(void)nanosleep(&pause, NULL);
}

int main(int argc, char **argv)
{
	bool is_running = false;
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--join") == 0)
			join(argv[++i]);
		else if (strcmp(argv[i], "--as") == 0)
			become(argv[++i]);
		else if (strcmp(argv[i], "--orphan") == 0)
			leave_parents();
		is_running |= strcmp(argv[i], "--run") == 0;
	}
	double end = now() + (i < argc ? strtod(argv[i], NULL) : 0.3);
	if (is_running)
		run_until(end);
	else
		rest_until(end);
	return printf("%d-escaped\n", 2 * 21) < 0;
}
