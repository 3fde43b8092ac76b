/*
 * herd COUNT PROGRAM [ARGUMENT...]: the least that a supervisor of many can do: vfork and exec,
 * COUNT times, then wait for TERM, pass it on to each, and reap them all. What holdfast is measured
 * against.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	sigset_t set, none;
	int number;

	long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
	pid_t *pids = calloc((size_t)(count > 0 ? count : 1), sizeof(*pids));
	if (count <= 0 || !pids)
		return 64;
	(void)sigemptyset(&none);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	for (long i = 0; i < count; i++) {
		pids[i] = vfork();
		if (pids[i] == 0) {
			(void)sigprocmask(SIG_SETMASK, &none, NULL);
			(void)execv(argv[2], argv + 2);
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
