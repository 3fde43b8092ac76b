/*
 * A PID 1 that is no more than a test of supervisor/spawn.h needs: it makes a plan of its arguments,
 * a store with pipes, forks a "supervisor" that calls spawn_process, and reaps.
 *
 *   spawnbed run KEY=VALUE... -- PATH ARG...    one process; what came of it as JSON
 *   spawnbed kills N PATH                       N supervisors killed while they spawn
 *   spawnbed bench N PATH [KEY=VALUE...]        µs for N units, and for N bare vfork+exec
 *
 * Keys of run are in the table of tests/support/spawnkeys.c.
 */
/* TESTS: tests/support/spawnkeys.c tests/support/spawnmany.c tests/support/planbuild.c supervisor/spawn.c supervisor/child.c supervisor/setup.c supervisor/clone.c supervisor/command.c supervisor/confine.c supervisor/confine_mounts.c supervisor/confine_rights.c supervisor/confine_files.c lib/landlock.c supervisor/filter.c supervisor/directory.c supervisor/credentials.c supervisor/template.c supervisor/cgroup.c lib/proc.c lib/secretfile.c lib/template.c lib/trust.c lib/walk.c lib/fd.c lib/io.c lib/str.c lib/clock.c lib/json.c lib/event.c lib/sys.c lib/signals.c lib/crash.c lib/store.c lib/plan.c lib/board.c */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lib/event.h"
#include "lib/json.h"
#include "lib/sys.h"
#include "supervisor/cgroup.h"
#include "supervisor/spawn.h"
#include "tests/support/spawnbed.h"

struct bed bed = {
	.as_uid = UINT64_MAX,
	.kill_who = -1,
	.request = {.secret_fd = -EBADF, .run = 1, .phase = EXEC_START},
};

void bed_die(const char *what)
{
	fprintf(stderr, "spawnbed: %s: %s\n", what, strerror(errno));
	exit(99);
}

void bed_must(bool is_good, const char *what)
{
	if (!is_good)
		bed_die(what);
}

/* ---- the bed */

static void add_pipe(uint32_t stream, int *ret_write)
{
	int fds[2];

	bed_must(pipe2(fds, O_CLOEXEC) == 0, "pipe2");
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	(void)store_put(bed.store, STORE_PIPE_READ, stream, fds[0]);
	(void)store_put(bed.store, STORE_PIPE_WRITE, stream, fds[1]);
	if (ret_write)
		*ret_write = fds[1];
}

void bed_make_shared(uint32_t n_units)
{
	int fd = sys_memfd_create("board", MFD_CLOEXEC);

	bed_must(fd >= 0 && board_format(fd, n_units, 0) == 0 &&
			 board_map(fd, true, &bed.board) == 0,
		 "board");
	bed.n_units = n_units;
	for (uint32_t i = 0; i < n_units; i++) {
		add_pipe(stream_of_unit(i, STREAM_STDOUT), NULL);
		add_pipe(stream_of_unit(i, STREAM_STDERR), NULL);
	}
	add_pipe(stream_of_role(n_units, ROLE_SUPERVISOR), &bed.error_pipe);
}

void bed_finish_plan(void)
{
	void *block;
	size_t size;

	planbuild_finish(&bed.build, &block, &size, &bed.plan);
}

static void limit_rights(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	for (unsigned long i = 0; bed.is_limited && i < 64; i++) {
		if (!(bed.as_capabilities & (UINT64_C(1) << i)) &&
		    prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			bed_must(prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0, "bounding set");
	}
	if (bed.as_uid != UINT64_MAX) {
		uid_t uid = (uid_t)bed.as_uid;
		bed_must(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
				 setresuid(uid, uid, uid) == 0,
			 "setresuid");
	} else if (bed.is_limited) {
		for (int i = 0; i < 2; i++)
			data[i].effective = data[i].permitted =
				(uint32_t)(bed.as_capabilities >> (32 * i));
		bed_must(syscall(SYS_capset, &header, data) == 0, "capset");
	}
}

/* The supervisor is not granted these: its exec would have closed them. */
static void close_read_ends(void)
{
	uint32_t cursor = 0;

	for (const struct store_entry *e = store_next(bed.store, STORE_PIPE_READ, &cursor); e;
	     e = store_next(bed.store, STORE_PIPE_READ, &cursor))
		(void)close(e->fd);
}

void bed_become_supervisor(void)
{
	close_read_ends();
	(void)dup2(bed.error_pipe, STDERR_FILENO);
	limit_rights();
	event_init("holdfast-supervisor", EVENT_FOR_LOG);
	(void)madvise((void *)((uintptr_t)bed.board.header & ~(uintptr_t)4095), 4096,
		      MADV_DONTFORK);
	int r = spawn_init(&bed.spawner, &bed.plan, bed.store, &bed.board);
	errno = -r;
	bed_must(r == 0, "spawn_init");
}

_Atomic int32_t *bed_slot_of(uint32_t unit)
{
	return &bed.board.slots[unit][bed.request.slot];
}

/* ---- one spawn */

struct answer {
	int r, has_pidfd, killed, count;
};

static void supervise(int to)
{
	struct answer answer = {0};
	int pidfd = -EBADF;

	const struct spawn_help help = {
		.slot = SLOT_HELPER,
		.role = ROLE_SECRETS,
		.argv = bed.argv,
		.input_fd = -EBADF,
		.output_fd = store_find(bed.store, STORE_PIPE_WRITE, 0),
	};

	bed_become_supervisor();
	errno = 0;
	answer.r = bed.is_helper ? spawn_helper(&bed.spawner, &help, &pidfd)
				 : spawn_process(&bed.spawner, &bed.request, &pidfd);
	spawn_land(&bed.spawner);
	answer.has_pidfd = pidfd >= 0;
	answer.count = unit_count_processes(&bed.spawner, 0, *bed_slot_of(0));
	(void)!write(to, &answer, sizeof(answer));
	char byte;
	/* Held until the bed is told to go on, so that our memory can be searched. */
	(void)!read(STDIN_FILENO, &byte, bed.holds ? 1 : 0);
	if (bed.kill_who >= 0)
		answer.killed = unit_kill(&bed.spawner, 0, *bed_slot_of(0),
					  (enum kill_who)bed.kill_who, bed.kill_signal);
	if (bed.cleans_up) {
		struct pollfd ended = {.fd = pidfd, .events = POLLIN};
		(void)poll(&ended, 1, -1);
		spawn_clean_up(&bed.spawner, 0);
	}
	(void)!write(to, &answer, sizeof(answer));
	_exit(0);
}

static void add_stream(struct strbuf *out, const char *key, uint32_t stream)
{
	static char buffer[1 << 17];
	int fd = store_find(bed.store, STORE_PIPE_READ, stream);
	ssize_t n = read(fd, buffer, sizeof(buffer));

	json_key(out, key);
	json_bytes(out, buffer, n < 0 ? 0 : (size_t)n);
}

static void print_result(const struct answer *answer, int32_t slot, int32_t reaped, int status)
{
	static char text[1 << 20];
	struct strbuf out;

	strbuf_init(&out, text, sizeof(text));
	json_object_begin(&out);
	json_add_i64(&out, "r", answer->r);
	json_add_bool(&out, "pidfd", answer->has_pidfd);
	json_add_i64(&out, "killed", answer->killed);
	json_add_i64(&out, "count", answer->count);
	json_add_i64(&out, "slot", slot);
	json_add_i64(&out, "reaped", reaped);
	if (reaped > 0)
		json_add_i64(&out, "status",
			     WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	add_stream(&out, "stdout", stream_of_unit(0, STREAM_STDOUT));
	add_stream(&out, "stderr", stream_of_unit(0, STREAM_STDERR));
	add_stream(&out, "events", stream_of_role(bed.n_units, ROLE_SUPERVISOR));
	json_object_end(&out);
	puts(text);
	fflush(stdout);
}

/* Our children are the supervisor and what it spawned. */
static int32_t reap_spawned(pid_t supervisor, int *ret_status)
{
	int32_t found = 0;

	for (;;) {
		int status;
		pid_t pid = wait(&status);
		if (pid < 0)
			return found;
		if (pid == supervisor)
			continue;
		found = pid;
		*ret_status = status;
	}
}

static void read_answer(int from, struct answer *answer)
{
	if (read(from, answer, sizeof(*answer)) != (ssize_t)sizeof(*answer))
		*answer = (struct answer){.r = -EPIPE};
}

static void run_one(void)
{
	struct answer answer;
	int fds[2], status = 0;

	bed_must(pipe2(fds, O_CLOEXEC) == 0, "pipe2");
	pid_t supervisor = fork();
	bed_must(supervisor >= 0, "fork");
	if (supervisor == 0)
		supervise(fds[1]);
	(void)close(fds[1]);
	read_answer(fds[0], &answer);
	int32_t slot = *bed_slot_of(0);
	if (bed.holds) {
		printf("{\"supervisor\":%d,\"pid\":%d}\n", supervisor, slot);
		fflush(stdout);
	}
	read_answer(fds[0], &answer);
	int32_t reaped = reap_spawned(supervisor, &status);
	print_result(&answer, slot, reaped, status);
}

static void prepare_run(int argc, char **argv)
{
	int at = 2;
	uint32_t groups[BED_MANY];

	for (; at < argc && strcmp(argv[at], "--") != 0; at++)
		bed_apply_key(argv[at]);
	bed_must(at + 1 < argc, "no command");
	bed.argv = &argv[at + 1];
	planbuild_exec(&bed.build, 0, bed.request.phase, (const char *const *)&argv[at + 1],
		       bed.exec_flags);
	struct plan_list list = planbuild_texts(&bed.build, bed.environment);
	bed_unit()->environment = list;
	for (uint32_t i = 0; i < bed.n_groups; i++)
		groups[i] = (uint32_t)bed_number(bed.groups[i]);
	list = planbuild_list(&bed.build, groups, bed.n_groups);
	bed_unit()->groups = list;
	if (bed.n_sockets > 0) {
		list = planbuild_list(&bed.build, &(uint32_t){1}, 1);
		bed_unit()->relations[REL_TRIGGERED_BY] = list;
	}
	bed_finish_plan();
	bed.request.exec = plan_exec(&bed.plan, 0);
}

int main(int argc, char **argv)
{
	struct rlimit files = {.rlim_cur = 1 << 16, .rlim_max = 1 << 16};

	bed_must(argc > 2, "run, kills or bench");
	bool is_run = strcmp(argv[1], "run") == 0;
	uint32_t count = is_run				 ? 2
			 : strcmp(argv[1], "bench") == 0 ? (uint32_t)bed_number(argv[2])
							 : 64;
	if (!is_run && setrlimit(RLIMIT_NOFILE, &files) < 0) {
		(void)getrlimit(RLIMIT_NOFILE, &files);
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	bed_must(store_create(count * 4 + 64, &bed.store) == 0, "store");
	planbuild_init(&bed.build);
	if (is_run) {
		bed_make_shared(count);
		(void)planbuild_unit(&bed.build, "test.service", NULL);
		planbuild_unit(&bed.build, "test.socket", NULL)->kind = UNIT_SOCKET;
		prepare_run(argc, argv);
		run_one();
		return 0;
	}
	bed_must(argc > 3, "a count and a program");
	bed_make_units(count, argv[3], argv + 4);
	if (strcmp(argv[1], "bench") == 0) {
		bed_run_bench(count, argv[3]);
	} else {
		bed_make_shared(count);
		bed_run_kills((uint32_t)bed_number(argv[2]));
	}
	return 0;
}
