/*
 * herd [-p] COUNT PROGRAM [ARGUMENT...]: the least that a supervisor of many can do: vfork and exec,
 * COUNT times, then wait for TERM, pass it on to each, and reap them all. What holdfast is measured
 * against.
 *
 * With -p stdout and stderr of each are a pipe of which both ends are kept, so that a log can come
 * and go: the least that a supervisor can do that loses no line. A child shares the table of fds
 * until it has its own of the lowest few, since thousands would be copied otherwise.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#define STACK_SIZE 65536

static int low[2];
static char **command;

static int start_piped(void *argument)
{
	sigset_t none;

	(void)argument;
	(void)sigemptyset(&none);
	(void)syscall(SYS_close_range, low[1] + 1, ~0U, CLOSE_RANGE_UNSHARE);
	(void)dup2(low[0], STDOUT_FILENO);
	(void)dup2(low[1], STDERR_FILENO);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execv(command[0], command);
	_exit(127);
}

static pid_t spawn_piped(void)
{
	static char stack[STACK_SIZE] __attribute__((aligned(16)));

	for (int i = 0; i < 2; i++) {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) < 0 || dup3(ends[1], low[i], O_CLOEXEC) < 0)
			return -1;
	}
	return clone(start_piped, stack + STACK_SIZE,
		     CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, NULL);
}

static bool reserve_low(void)
{
	for (int i = 0; i < 2; i++)
		low[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	return low[0] >= 0 && low[1] > low[0];
}

int main(int argc, char **argv)
{
	sigset_t set, none;
	int number;
	bool is_piped = argc > 1 && strcmp(argv[1], "-p") == 0;

	argc -= is_piped;
	argv += is_piped;
	if (is_piped && !reserve_low())
		return 71;

	long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
	pid_t *pids = calloc((size_t)(count > 0 ? count : 1), sizeof(*pids));
	if (count <= 0 || !pids)
		return 64;
	(void)sigemptyset(&none);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	command = argv + 2;
	for (long i = 0; i < count; i++) {
		if (is_piped) {
			pids[i] = spawn_piped();
			continue;
		}
		pids[i] = vfork();
		if (pids[i] == 0) {
			(void)sigprocmask(SIG_SETMASK, &none, NULL);
			(void)execv(command[0], command);
			_exit(127);
		}
	}
	(void)sigwait(&set, &number);
	for (long i = 0; i < count; i++)
		(void)kill(pids[i], SIGTERM);
	for (long i = 0; i < count; i++)
		(void)waitpid(pids[i], NULL, 0);
	return 0;
}
