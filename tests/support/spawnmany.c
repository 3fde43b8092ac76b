/* Many spawns: supervisors that are killed while they make them, and how long one takes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/io.h"
#include "tests/support/spawnbed.h"

extern char **environ;

void bed_make_units(uint32_t count, const char *path, char **key_values)
{
	const char *const argv[] = {path, NULL};

	for (uint32_t i = 0; i < count; i++) {
		char name[32];
		uint32_t unit;
		(void)snprintf(name, sizeof(name), "unit%u.service", i);
		(void)planbuild_unit(&bed.build, name, &unit);
		if (i == 0)
			planbuild_exec(&bed.build, unit, EXEC_START, argv, 0);
	}
	for (; *key_values; key_values++)
		bed_apply_key(*key_values);
	for (uint32_t i = 1; i < count; i++) {
		plan_str name = bed_unit()[i].name;
		bed_unit()[i] = bed_unit()[0];
		bed_unit()[i].name = name;
	}
	bed_finish_plan();
	bed.request.exec = plan_exec(&bed.plan, 0);
}

static bool stands_in_slot(int32_t pid)
{
	uint32_t unit, slot;

	if (bed.n_units == 0)
		return false;
	return board_find_pid(&bed.board, pid, &unit, &slot);
}

/* Kills and reaps every child; how many stood in no slot. */
static uint32_t end_children(uint32_t *ret_count)
{
	char path[64], line[1 << 16], *rest = NULL;
	uint32_t lost = 0;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	ssize_t n = io_read_file(AT_FDCWD, path, line, sizeof(line));
	bed_must(n >= 0, path);
	*ret_count = 0;
	for (char *at = strtok_r(line, " ", &rest); at; at = strtok_r(NULL, " ", &rest)) {
		int32_t pid = atoi(at);
		lost += !stands_in_slot(pid);
		(*ret_count)++;
		(void)kill(pid, SIGKILL);
	}
	while (wait(NULL) > 0)
		continue;
	for (uint32_t i = 0; i < bed.n_units; i++)
		*bed_slot_of(i) = 0;
	return lost;
}

static void spin_us(uint64_t us)
{
	uint64_t end = clock_now_us() + us;

	while (clock_now_us() < end)
		continue;
}

static void spawn_for_ever(_Atomic uint32_t *begun)
{
	bed_become_supervisor();
	for (;;) {
		int pidfd = -EBADF;
		bed.request.may_fly = !bed.request.may_fly;
		bed.request.unit = (bed.request.unit + 1) % bed.n_units;
		(*begun)++;
		(void)spawn_process(&bed.spawner, &bed.request, &pidfd);
		if (pidfd >= 0)
			(void)close(pidfd);
	}
}

/* Each supervisor is killed somewhere between the beginning of its first spawn and the end of about
 * its fifth. */
void bed_run_kills(uint32_t rounds)
{
	uint32_t lost = 0, spawned = 0, state = 12345;
	_Atomic uint32_t *begun =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	bed_must(begun != MAP_FAILED, "mmap");
	for (uint32_t round = 0; round < rounds; round++) {
		uint32_t count;
		*begun = 0;
		pid_t supervisor = fork();
		if (supervisor == 0)
			spawn_for_ever(begun);
		while (*begun == 0)
			continue;
		state = state * 1103515245 + 12345;
		spin_us(state >> 16 & 511);
		(void)kill(supervisor, SIGKILL);
		(void)waitpid(supervisor, NULL, 0);
		lost += end_children(&count);
		spawned += count;
	}
	printf("{\"rounds\":%u,\"spawned\":%u,\"lost\":%u}\n", rounds, spawned, lost);
}

/*
 * Two workers in turns, a few spawns each, so that whatever else the machine does hits both alike;
 * each spawn is timed by itself.
 */
#define CHUNK 20

struct worker {
	void (*prepare)(void);
	pid_t (*spawn_one)(uint32_t i);
	pid_t pid;
	int turn[2], done[2];
	uint32_t *took_us; /* shared */
};

static const char *bench_path;

static pid_t spawn_bare(uint32_t i)
{
	char *const argv[] = {(char *)(uintptr_t)bench_path, NULL};
	pid_t pid = vfork();

	(void)i;
	if (pid == 0) {
		(void)execve(bench_path, argv, environ);
		_exit(127);
	}
	return pid;
}

static pid_t spawn_ours(uint32_t i)
{
	int pidfd = -EBADF;

	bed.request.unit = i;
	bed_must(spawn_process(&bed.spawner, &bed.request, &pidfd) == 0, "spawn");
	return *bed_slot_of(i);
}

static void work(const struct worker *worker, uint32_t count)
{
	pid_t *pids = calloc(count, sizeof(*pids));
	char byte;

	if (worker->prepare)
		worker->prepare();
	for (uint32_t i = 0; i < count; i++) {
		if (i % CHUNK == 0)
			bed_must(read(worker->turn[0], &byte, 1) == 1, "turn");
		uint64_t start = clock_now_us();
		pids[i] = worker->spawn_one(i);
		worker->took_us[i] = (uint32_t)(clock_now_us() - start);
		if (i % CHUNK == CHUNK - 1 || i == count - 1)
			bed_must(write(worker->done[1], "", 1) == 1, "done");
	}
	/* To the end of the other's work too: the machine is as full for both. */
	(void)!read(worker->turn[0], &byte, 1);
	for (uint32_t i = 0; i < count; i++)
		(void)kill(pids[i], SIGKILL);
	_exit(0);
}

static void start_worker(struct worker *worker, uint32_t count)
{
	bed_must(pipe2(worker->turn, O_CLOEXEC) == 0 && pipe2(worker->done, O_CLOEXEC) == 0,
		 "pipe2");
	worker->took_us = mmap(NULL, count * sizeof(uint32_t), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bed_must(worker->took_us != MAP_FAILED, "mmap");
	worker->pid = fork();
	bed_must(worker->pid >= 0, "fork");
	if (worker->pid == 0)
		work(worker, count);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t median(uint32_t *values, uint32_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

void bed_run_bench(uint32_t count, const char *path)
{
	struct worker bare = {.spawn_one = spawn_bare};
	struct worker ours = {.spawn_one = spawn_ours, .prepare = bed_become_supervisor};
	char byte;

	bench_path = path;
	/* First, as a process that has nothing but its standard streams. */
	start_worker(&bare, count);
	bed_make_shared(count);
	start_worker(&ours, count);
	for (uint32_t i = 0; i < count; i += CHUNK) {
		bed_must(write(bare.turn[1], "", 1) == 1 && read(bare.done[0], &byte, 1) == 1,
			 "bare");
		bed_must(write(ours.turn[1], "", 1) == 1 && read(ours.done[0], &byte, 1) == 1,
			 "ours");
	}
	bed_must(write(bare.turn[1], "", 1) == 1 && write(ours.turn[1], "", 1) == 1, "end");
	while (wait(NULL) > 0)
		continue;
	printf("{\"units\":%u,\"spawn_us\":%u,\"bare_us\":%u}\n", count,
	       median(ours.took_us, count), median(bare.took_us, count));
}
