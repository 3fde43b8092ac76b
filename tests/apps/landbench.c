/*
 * What Landlock costs, as one JSON object: microseconds of a fork whose child ends at once, of one that
 * enters a rule set that is there, and of one that makes its own first; and nanoseconds of an open and
 * close of FILE without a rule set and in one. The rule set allows to read at and below each PATH.
 *
 *   landbench ROUNDS FILE PATH...
 */
/* TESTS: lib/landlock.c lib/fd.c lib/sys.c */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/landlock.h"

#define OPENS 20000

struct bench {
	int version, ruleset;
	char *const *paths;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static int make(const struct bench *bench)
{
	int fd = landlock_create(bench->version, landlock_rights(bench->version), 0);

	for (char *const *path = bench->paths; fd >= 0 && *path; path++)
		(void)landlock_allow(fd, *path, LANDLOCK_READ_FILE | LANDLOCK_READ_DIR);
	return fd;
}

static void do_nothing(const struct bench *bench)
{
	(void)bench;
}

static void enter(const struct bench *bench)
{
	if (landlock_enter(bench->ruleset) < 0)
		_exit(EXIT_FAILURE);
}

static void make_and_enter(const struct bench *bench)
{
	int fd = make(bench);

	if (fd < 0 || landlock_enter(fd) < 0)
		_exit(EXIT_FAILURE);
}

static double time_forks(const struct bench *bench, int rounds, void (*act)(const struct bench *))
{
	uint64_t start = now_ns();
	int status;

	for (int i = 0; i < rounds; i++) {
		pid_t child = fork();
		if (child == 0) {
			act(bench);
			_exit(EXIT_SUCCESS);
		}
		if (waitpid(child, &status, 0) != child || status != 0)
			exit(EXIT_FAILURE);
	}
	return (double)(now_ns() - start) / 1000 / rounds;
}

static double time_opens(const char *path)
{
	uint64_t start = now_ns();

	for (int i = 0; i < OPENS; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			exit(EXIT_FAILURE);
		fd_close(fd);
	}
	return (double)(now_ns() - start) / OPENS;
}

int main(int argc, char **argv)
{
	struct bench bench = {.version = landlock_version(), .paths = argv + 3};
	int rounds = argc > 3 ? atoi(argv[1]) : 0;

	if (rounds < 1 || bench.version < 1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return EXIT_FAILURE;
	bench.ruleset = make(&bench);
	if (bench.ruleset < 0)
		return EXIT_FAILURE;
	(void)printf("{\"fork\":%.2f,\"enter\":%.2f,\"make\":%.2f,",
		     time_forks(&bench, rounds, do_nothing), time_forks(&bench, rounds, enter),
		     time_forks(&bench, rounds, make_and_enter));
	(void)printf("\"open\":%.1f,", time_opens(argv[2]));
	enter(&bench);
	(void)printf("\"open_held\":%.1f}\n", time_opens(argv[2]));
	return EXIT_SUCCESS;
}
