/*
 * stopwatch ROUNDS ARGV... [::: ARGV...]...: runs each command once a round, in turns, so that what
 * disturbs the machine disturbs all of them alike. Prints one line a round: for each command the
 * microseconds from vfork to the end of its wait.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 16

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double run(char **argv)
{
	double start = now_us();
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
		(void)fprintf(stderr, "stopwatch: %s did not end with 0\n", argv[0]);
		exit(1);
	}
	return now_us() - start;
}

int main(int argc, char **argv)
{
	char **commands[COMMANDS_MAX];
	int n = 0;

	if (argc < 3)
		return 64;
	for (int i = 2; i < argc && n < COMMANDS_MAX; i++) {
		if (i == 2 || !argv[i - 1])
			commands[n++] = &argv[i];
		if (strcmp(argv[i], ":::") == 0)
			argv[i] = NULL;
	}
	for (int round = atoi(argv[1]); round > 0; round--) {
		for (int i = 0; i < n; i++)
			printf("%.2f%c", run(commands[i]), i == n - 1 ? '\n' : ' ');
	}
	return 0;
}
