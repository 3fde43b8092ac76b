/*
 * Writes numbered lines all the time, "WORD 1", "WORD 2", …, one every INTERVAL microseconds, and at
 * TERM a last one, "WORD end N": so that whoever reads them can tell by number whether one is missing.
 *
 *   teller INTERVAL WORD
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	sigset_t set;
	char line[128];

	if (argc != 3)
		return 64;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	long interval = strtol(argv[1], NULL, 10), number = 0;
	struct timespec time = {.tv_sec = interval / 1000000, .tv_nsec = interval % 1000000 * 1000};
	do {
		int n = snprintf(line, sizeof(line), "%s %ld\n", argv[2], ++number);
		if (write(STDOUT_FILENO, line, (size_t)n) != n)
			return 1;
	} while (sigtimedwait(&set, NULL, &time) != SIGTERM);
	int n = snprintf(line, sizeof(line), "%s end %ld\n", argv[2], number);
	return write(STDOUT_FILENO, line, (size_t)n) == n ? 0 : 1;
}
