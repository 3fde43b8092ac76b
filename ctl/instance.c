#include "ctl/instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/sandbox.h"
#include "lib/store.h"
#include "lib/str.h"

static const char *const parents[] = {"/run", "/dev/shm"};

/* A file that is cut while it is mapped: the pages behind its new end are gone (mmap(2)). */
static void at_sigbus(int signal)
{
	static const char text[] =
		"holdfastctl: a file of the instance was cut while it was read\n";

	(void)signal;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	_exit(69);
}

static int open_file(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

int instance_map(int plan_fd, int board_fd, int ring_fd, struct instance *instance)
{
	int r = plan_map(plan_fd, &instance->plan);

	if (r < 0)
		return r;
	r = board_map(board_fd, false, &instance->board);
	if (r < 0)
		return r;
	/* Every index from here on is one into both. */
	if (instance->board.n_units != plan_unit_count(&instance->plan) ||
	    instance->board.n_secrets != plan_section_count(&instance->plan, PLAN_SECRETS))
		return -EBADMSG;
	if (ring_fd < 0 || ring_map(ring_fd, false, &instance->ring) < 0)
		instance->ring = (struct ring){0};
	return 0;
}

void instance_map_gate(int gate_fd, struct instance *instance)
{
	struct gateboard *gate;

	if (gate_fd >= 0 && gateboard_map(gate_fd, false, &gate) == 0)
		instance->gate = gate;
}

static int open_directory(const char *directory, struct instance *instance)
{
	CLEANUP(fd_closep) int dirfd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dirfd < 0)
		return -errno;
	CLEANUP(fd_closep) int plan_fd = open_file(dirfd, "plan");
	CLEANUP(fd_closep) int board_fd = open_file(dirfd, "board");
	CLEANUP(fd_closep) int ring_fd = open_file(dirfd, "ring");
	CLEANUP(fd_closep) int gate_fd = open_file(dirfd, "gate");
	if (plan_fd < 0)
		return plan_fd;
	if (board_fd < 0)
		return board_fd;
	instance_map_gate(gate_fd, instance);
	(void)str_copy(instance->directory, sizeof(instance->directory), directory);
	return instance_map(plan_fd, board_fd, ring_fd, instance);
}

/*
 * As the dump that PID 1 asks for is started: with all of its rights, for text of which services wrote
 * a part. What it looks at needs three of them: processes' roots for their scratch, whatever their
 * modes, and the kernel's log.
 */
static void lock_in(void)
{
	const struct sandbox sandbox = {
		.uid = UINT32_MAX,
		.capabilities = UINT64_C(1) << CAP_DAC_READ_SEARCH | UINT64_C(1) << CAP_SYS_PTRACE |
				UINT64_C(1) << CAP_SYSLOG,
	};

	(void)sandbox_enter(&sandbox);
}

static int open_store(struct instance *instance)
{
	const struct store_table *store;

	if (store_attach(ROLE_CTL, &store) < 0)
		return -ENOENT;
	lock_in();
	int plan_fd = store_find(store, STORE_PLAN_PUBLIC, 0);
	int board_fd = store_find(store, STORE_BOARD_PUBLIC, 0);
	if (plan_fd < 0 || board_fd < 0)
		return -ENOENT;
	instance_map_gate(store_find(store, STORE_GATE_PUBLIC, 0), instance);
	return instance_map(plan_fd, board_fd, store_find(store, STORE_RING_PUBLIC, 0), instance);
}

/* The instances of subreapers: holdfast.PID. How many, and the last one's path. */
static int find_suffixed(const char *parent, char *path, size_t size)
{
	DIR *dir = opendir(parent);
	int count = 0;

	if (!dir)
		return 0;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		uint64_t pid;
		char probe[64];
		if (!str_starts(e->d_name, "holdfast.") ||
		    str_parse_u64(e->d_name + strlen("holdfast."), INT32_MAX, &pid) < 0)
			continue;
		(void)snprintf(probe, sizeof(probe), "/proc/%llu", (unsigned long long)pid);
		if (access(probe, F_OK) < 0)
			continue;
		(void)snprintf(path, size, "%s/%s", parent, e->d_name);
		count++;
	}
	(void)closedir(dir);
	return count;
}

static int search(struct instance *instance, char *why, size_t size)
{
	char path[512];
	int count = 0;

	for (size_t i = 0; i < ARRAY_COUNT(parents); i++) {
		(void)snprintf(path, sizeof(path), "%s/holdfast", parents[i]);
		int r = open_directory(path, instance);
		if (r != -ENOENT)
			return r;
	}
	for (size_t i = 0; i < ARRAY_COUNT(parents) && count == 0; i++)
		count = find_suffixed(parents[i], path, sizeof(path));
	if (count == 1)
		return open_directory(path, instance);
	(void)snprintf(why, size,
		       count == 0 ? "no instance runs here (neither /run/holdfast nor "
				    "/dev/shm/holdfast exists)"
				  : "several instances run here: name one by --run DIR");
	return -ENOENT;
}

int instance_open(const char *directory, struct instance *ret_instance, char *why, size_t size)
{
	struct instance instance = {0};
	struct sigaction action = {.sa_handler = at_sigbus};

	(void)sigaction(SIGBUS, &action, NULL);
	why[0] = '\0';
	int r = directory ? open_directory(directory, &instance) : open_store(&instance);
	if (!directory && r == -ENOENT)
		r = search(&instance, why, size);
	if (r < 0 && why[0] == '\0')
		(void)snprintf(why, size, "%s: %s",
			       instance.directory[0] ? instance.directory
			       : directory	     ? directory
						     : "the instance",
			       r == -EBADMSG ? "its files are not those of this version, or damaged"
					     : strerror(-r));
	if (r == 0)
		*ret_instance = instance;
	return r;
}
