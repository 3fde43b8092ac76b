/*
 * Counts starts, for the benchmarks: the time from a stamp to the last main() of many.
 *
 *   tally -s FILE PROGRAM [ARGUMENT...]   stamps FILE with the time and becomes PROGRAM
 *   tally [FILE]                            ($TALLY, else FILE) counts itself there, waits for ever
 *
 * FILE holds three 64-bit numbers: the stamp, how many have started, the latest start (µs,
 * CLOCK_MONOTONIC).
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct tally {
	_Atomic uint64_t stamp, count, latest;
};

static uint64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct tally *map(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		_exit(66);
	void *memory = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (memory == MAP_FAILED)
		_exit(71);
	return memory;
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "-s") == 0) {
		atomic_store(&map(argv[2])->stamp, now_us());
		(void)execvp(argv[3], argv + 3);
		return 127;
	}
	const char *path = getenv("TALLY");
	if (!path && argc < 2)
		return 64;
	struct tally *tally = map(path ? path : argv[1]);
	uint64_t now = now_us(), latest = atomic_load(&tally->latest);
	while (latest < now && !atomic_compare_exchange_weak(&tally->latest, &latest, now))
		;
	atomic_fetch_add(&tally->count, 1);
	for (;;)
		(void)pause();
}
