/*
 * What system calls cost: nanoseconds for each, the least of ROUNDS rounds, as one line of JSON.
 *
 *   callcost ROUNDS
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"

#define CALLS 20000

static int null_fd;

static void call_getppid(void)
{
	(void)syscall(SYS_getppid);
}

static void call_read(void)
{
	char byte;

	(void)!read(null_fd, &byte, 1);
}

static void call_ioctl(void)
{
	int n;

	(void)ioctl(null_fd, FIONREAD, &n);
}

static void call_unshare(void)
{
	(void)syscall(SYS_unshare, 0);
}

static const struct {
	const char *name;
	void (*call)(void);
} rows[] = {
	{"getppid", call_getppid},
	{"read", call_read},
	{"ioctl", call_ioctl},
	{"unshare", call_unshare},
};

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t round_ns(void (*call)(void))
{
	uint64_t start = now_ns();

	for (int i = 0; i < CALLS; i++)
		call();
	return (now_ns() - start) / CALLS;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 10;

	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		uint64_t least = UINT64_MAX;
		for (long n = 0; n < rounds; n++)
			least = MIN(least, round_ns(rows[i].call));
		printf("%s\"%s\":%llu", i ? "," : "{", rows[i].name, (unsigned long long)least);
	}
	printf("}\n");
	return fflush(stdout) == 0 ? 0 : 1;
}
