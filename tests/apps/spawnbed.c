/*
 * A PID 1 that is no more than a test of supervisor/spawn.h needs: it makes a plan of its arguments,
 * a store with pipes, forks a "supervisor" that calls spawn_process, and reaps.
 *
 *   spawnbed run KEY=VALUE... -- PATH ARG...    one process; what came of it as JSON
 *   spawnbed kills N PATH                       N supervisors killed while they spawn
 *   spawnbed bench N PATH [KEY=VALUE...]        µs for N units, and for N bare vfork+exec
 *
 * Keys of run are in the table at the end.
 */
/* TESTS: tests/support/planbuild.c supervisor/spawn.c supervisor/child.c supervisor/setup.c supervisor/clone.c supervisor/command.c supervisor/confine.c supervisor/directory.c supervisor/credentials.c supervisor/template.c supervisor/cgroup.c lib/proc.c lib/secretfile.c lib/template.c lib/trust.c lib/walk.c lib/fd.c lib/io.c lib/str.c lib/clock.c lib/json.c lib/event.c lib/sys.c lib/signals.c lib/crash.c lib/store.c lib/plan.c lib/board.c */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/capability.h>

#include "lib/clock.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/io.h"
#include "lib/json.h"
#include "lib/sys.h"
#include "supervisor/cgroup.h"
#include "supervisor/spawn.h"
#include "tests/support/planbuild.h"

extern char **environ;

#define MANY 32

static struct bed {
	struct planbuild build;
	struct plan plan;
	struct board board;
	struct store_table *store;
	struct spawner spawner;
	struct spawn_request request;
	uint32_t n_units;
	int error_pipe; /* the supervisor's stderr */

	/* From keys. */
	const char *environment[MANY], *groups[MANY];
	uint32_t n_environment, n_groups;
	uint32_t n_sockets;
	uint32_t exec_flags;
	uint64_t as_uid, as_capabilities;
	bool is_limited, holds, cleans_up, is_helper;
	char **argv;
	int kill_signal, kill_who;
} bed = {
	.as_uid = UINT64_MAX,
	.kill_who = -1,
	.request = {.secret_fd = -EBADF, .run = 1, .phase = EXEC_START},
};

static void die(const char *what)
{
	fprintf(stderr, "spawnbed: %s: %s\n", what, strerror(errno));
	exit(99);
}

static void must(bool is_good, const char *what)
{
	if (!is_good)
		die(what);
}

static struct plan_unit *the_unit(void)
{
	return (struct plan_unit *)(void *)bed.build.records[PLAN_UNITS];
}

/* ---- Keys. */

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 0);
}

/* The next field of a:b:c, or "". */
static const char *field(char **rest)
{
	const char *found = strsep(rest, ":");

	return found ? found : "";
}

static void key_flags(char *v)
{
	the_unit()->flags |= (uint32_t)number(v);
}

static void key_no_flags(char *v)
{
	the_unit()->flags &= ~(uint32_t)number(v);
}

static void key_clean_up(char *v)
{
	bed.cleans_up = number(v);
}

static void key_environment(char *v)
{
	bed.environment[bed.n_environment++] = v;
}

static void key_group(char *v)
{
	bed.groups[bed.n_groups++] = v;
}

static void key_exec_flags(char *v)
{
	bed.exec_flags = (uint32_t)number(v);
}

static void key_phase(char *v)
{
	bed.request.phase = (enum exec_phase)number(v);
}

static void key_first(char *v)
{
	bed.request.is_first = number(v);
}

static void key_run(char *v)
{
	bed.request.run = number(v);
}

static void key_main_pid(char *v)
{
	bed.request.main_pid = (int32_t)number(v);
}

static void key_result(char *v)
{
	bed.request.result = v;
}

static void key_exit_code(char *v)
{
	bed.request.exit_code = v;
}

static void key_exit_status(char *v)
{
	bed.request.exit_status = v;
}

static void key_as(char *v)
{
	bed.as_uid = number(v);
}

static void key_fly(char *v)
{
	bed.request.may_fly = number(v) != 0;
}

static void key_hold(char *v)
{
	bed.holds = number(v);
}

static void key_mask(char *v)
{
	bed.store->inherited.mask = number(v);
}

static void key_ignored(char *v)
{
	bed.store->inherited.ignored = number(v);
}

static void key_kill(char *v)
{
	bed.kill_who = (int)number(field(&v));
	bed.kill_signal = (int)number(field(&v));
}

static void key_oom(char *v)
{
	the_unit()->flags |= UNIT_OOM_SCORE;
	the_unit()->oom_score_adjust = atoi(v);
}

static void key_nice(char *v)
{
	the_unit()->flags |= UNIT_NICE;
	the_unit()->nice = atoi(v);
}

static void key_ambient(char *v)
{
	the_unit()->flags |= UNIT_AMBIENT;
	the_unit()->ambient_capabilities = number(v);
}

static void key_bounding(char *v)
{
	the_unit()->flags |= UNIT_BOUNDING;
	the_unit()->bounding_capabilities = number(v);
}

static void key_capabilities(char *v)
{
	bed.is_limited = true;
	bed.as_capabilities = number(v);
}

static void key_nofile(char *v)
{
	bed.store->inherited.nofile_soft = number(field(&v));
	bed.store->inherited.nofile_hard = number(field(&v));
}

/* Ranges grow by one: all records of one kind belong to the one unit. */
static void *add_record(enum plan_section section, size_t range_offset)
{
	uint32_t index;
	void *record = planbuild_record(&bed.build, section, &index);
	struct plan_range *range = (void *)((char *)the_unit() + range_offset);

	if (range->count++ == 0)
		range->first = index;
	return record;
}

static void key_limit(char *v)
{
	struct plan_limit *limit = add_record(PLAN_LIMITS, offsetof(struct plan_unit, limits));

	limit->resource = (uint32_t)number(field(&v));
	limit->soft = number(field(&v));
	limit->hard = number(field(&v));
}

static void key_directory(char *v)
{
	uint32_t type = (uint32_t)number(field(&v)), mode = (uint32_t)number(field(&v));
	uint32_t keep = (uint32_t)number(field(&v));
	plan_str path = planbuild_text(&bed.build, v);
	struct plan_directory *d =
		add_record(PLAN_DIRECTORIES, offsetof(struct plan_unit, directories));

	*d = (struct plan_directory){.type = type, .mode = mode, .keep = keep, .path = path};
}

static void key_tmpfs(char *v)
{
	uint64_t size = number(field(&v));
	uint32_t mode = (uint32_t)number(field(&v)), flags = (uint32_t)number(field(&v));
	plan_str path = planbuild_text(&bed.build, v);
	struct plan_scratch *s = add_record(PLAN_SCRATCH, offsetof(struct plan_unit, scratch));

	*s = (struct plan_scratch){.size_bytes = size, .mode = mode, .flags = flags, .path = path};
}

static void key_secret(char *v)
{
	uint32_t delivery = (uint32_t)number(field(&v)), mode = (uint32_t)number(field(&v));
	uint32_t flags = (uint32_t)number(field(&v));
	plan_str name = planbuild_text(&bed.build, v);
	struct plan_secret *s = add_record(PLAN_SECRETS, offsetof(struct plan_unit, secrets));

	*s = (struct plan_secret){.delivery = delivery, .mode = mode, .flags = flags, .name = name};
}

static int open_must(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	must(fd >= 0, path);
	return fd;
}

static void key_helper(char *v)
{
	(void)store_put(bed.store, STORE_EXEC, ROLE_SECRETS, open_must(v, O_PATH));
	bed.is_helper = true;
	bed.request.slot = SLOT_HELPER;
}

static void key_secrets(char *v)
{
	bed.request.secret_fd = open_must(v, O_RDONLY);
}

static void key_environ(char *v)
{
	(void)store_put(bed.store, STORE_ENVIRON, 0, open_must(v, O_RDONLY));
}

static void key_cgroup(char *v)
{
	(void)store_put(bed.store, STORE_CGROUP, 0, open_must(v, O_RDONLY | O_DIRECTORY));
}

static void key_credentials(char *v)
{
	bed.build.header.credentials_directory = planbuild_text(&bed.build, v);
	(void)store_put(bed.store, STORE_CREDENTIALS, 0, open_must(v, O_RDONLY | O_DIRECTORY));
}

static void key_notify(char *v)
{
	bed.build.header.notify_address = planbuild_text(&bed.build, v);
}

/* A listening socket with that fd name, on an address of the kernel's choice. */
static void key_socket(char *v)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	uint32_t index;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0 &&
		     listen(fd, 8) == 0,
	     "socket");
	plan_str name = planbuild_text(&bed.build, v);
	struct plan_socket *s = planbuild_record(&bed.build, PLAN_SOCKETS, &index);
	*s = (struct plan_socket){.unit = 1, .fd_name = name};
	(void)store_put(bed.store, STORE_SOCKET, index, fd);
	bed.n_sockets++;
}

/* Fields of the unit that are numbers, and those that are text. */
static const struct {
	const char *name;
	size_t offset, size;
} fields[] = {
#define NUMBER(name, member)                                                                      \
	{                                                                                         \
		name, offsetof(struct plan_unit, member), sizeof(((struct plan_unit *)0)->member) \
	}
#define TEXT(name, member)                                  \
	{                                                   \
		name, offsetof(struct plan_unit, member), 0 \
	}
	NUMBER("uid", uid),
	NUMBER("gid", gid),
	NUMBER("umask", umask),
	NUMBER("type", type),
	NUMBER("pdeath", pdeath_signal),
	NUMBER("access", notify_access),
	NUMBER("watchdog", watchdog_us),
	NUMBER("cwd-optional", working_directory_optional),
	TEXT("name", name),
	TEXT("home", home),
	TEXT("user", user_name),
	TEXT("cwd", working_directory),
	TEXT("root", root_directory),
#undef NUMBER
#undef TEXT
};

static bool apply_field(const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
		if (strcmp(fields[i].name, name) != 0)
			continue;
		uint64_t wide = fields[i].size ? number(value) : planbuild_text(&bed.build, value);
		uint32_t narrow = (uint32_t)wide;
		if (fields[i].size == sizeof(wide))
			memcpy((char *)the_unit() + fields[i].offset, &wide, sizeof(wide));
		else
			memcpy((char *)the_unit() + fields[i].offset, &narrow, sizeof(narrow));
		return true;
	}
	return false;
}

static const struct {
	const char *name;
	void (*apply)(char *value);
} keys[] = {
	{"group", key_group},
	{"flags", key_flags},
	{"no-flags", key_no_flags},
	{"env", key_environment},
	{"exec-flags", key_exec_flags},
	{"phase", key_phase},
	{"first", key_first},
	{"run", key_run},
	{"main-pid", key_main_pid},
	{"result", key_result},
	{"exit-code", key_exit_code},
	{"exit-status", key_exit_status},
	{"as", key_as},
	{"hold", key_hold},
	{"fly", key_fly},
	{"mask", key_mask},
	{"ignored", key_ignored},
	{"oom", key_oom},
	{"nice", key_nice},
	{"ambient", key_ambient},
	{"bounding", key_bounding},
	{"capabilities", key_capabilities},
	{"nofile", key_nofile},
	{"limit", key_limit},
	{"directory", key_directory}, /* type:mode:keep:path */
	{"tmpfs", key_tmpfs},	      /* size:mode:flags:path */
	{"secret", key_secret},	      /* delivery:mode:flags:name */
	{"secrets", key_secrets},
	{"environ", key_environ},
	{"cgroup", key_cgroup},
	{"credentials", key_credentials},
	{"notify", key_notify},
	{"socket", key_socket},
	{"kill", key_kill},	    /* who:signal, after the spawn */
	{"clean-up", key_clean_up}, /* after the end of the process */
	{"helper", key_helper},	    /* the program of ROLE_SECRETS, spawned instead */
};

static void apply_key(char *argument)
{
	char *value = strchr(argument, '=');

	must(value != NULL, argument);
	*value++ = '\0';
	if (apply_field(argument, value))
		return;
	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		if (strcmp(keys[i].name, argument) == 0) {
			keys[i].apply(value);
			return;
		}
	}
	die(argument);
}

/* ---- The bed itself. */

static void add_pipe(uint32_t stream, int *ret_write)
{
	int fds[2];

	must(pipe2(fds, O_CLOEXEC) == 0, "pipe2");
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	(void)store_put(bed.store, STORE_PIPE_READ, stream, fds[0]);
	(void)store_put(bed.store, STORE_PIPE_WRITE, stream, fds[1]);
	if (ret_write)
		*ret_write = fds[1];
}

static void make_shared(uint32_t n_units)
{
	int fd = sys_memfd_create("board", MFD_CLOEXEC);

	must(fd >= 0 && board_format(fd, n_units, 0) == 0 && board_map(fd, true, &bed.board) == 0,
	     "board");
	bed.n_units = n_units;
	for (uint32_t i = 0; i < n_units; i++) {
		add_pipe(stream_of_unit(i, STREAM_STDOUT), NULL);
		add_pipe(stream_of_unit(i, STREAM_STDERR), NULL);
	}
	add_pipe(stream_of_role(n_units, ROLE_SUPERVISOR), &bed.error_pipe);
}

static void finish_plan(void)
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
			must(prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0, "bounding set");
	}
	if (bed.as_uid != UINT64_MAX) {
		uid_t uid = (uid_t)bed.as_uid;
		must(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
			     setresuid(uid, uid, uid) == 0,
		     "setresuid");
	} else if (bed.is_limited) {
		for (int i = 0; i < 2; i++)
			data[i].effective = data[i].permitted =
				(uint32_t)(bed.as_capabilities >> (32 * i));
		must(syscall(SYS_capset, &header, data) == 0, "capset");
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

static void become_supervisor(void)
{
	close_read_ends();
	(void)dup2(bed.error_pipe, STDERR_FILENO);
	limit_rights();
	event_init("holdfast-supervisor", EVENT_FOR_LOG);
	(void)madvise((void *)((uintptr_t)bed.board.header & ~(uintptr_t)4095), 4096,
		      MADV_DONTFORK);
	int r = spawn_init(&bed.spawner, &bed.plan, bed.store, &bed.board);
	errno = -r;
	must(r == 0, "spawn_init");
}

static _Atomic int32_t *slot_of(uint32_t unit)
{
	return &bed.board.slots[unit][bed.request.slot];
}

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

	become_supervisor();
	errno = 0;
	answer.r = bed.is_helper ? spawn_helper(&bed.spawner, &help, &pidfd)
				 : spawn_process(&bed.spawner, &bed.request, &pidfd);
	spawn_land(&bed.spawner);
	answer.has_pidfd = pidfd >= 0;
	answer.count = unit_count_processes(&bed.spawner, 0, *slot_of(0));
	(void)!write(to, &answer, sizeof(answer));
	char byte;
	/* Held until the bed is told to go on, so that our memory can be searched. */
	(void)!read(STDIN_FILENO, &byte, bed.holds ? 1 : 0);
	if (bed.kill_who >= 0)
		answer.killed = unit_kill(&bed.spawner, 0, *slot_of(0), (enum kill_who)bed.kill_who,
					  bed.kill_signal);
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

	must(pipe2(fds, O_CLOEXEC) == 0, "pipe2");
	pid_t supervisor = fork();
	must(supervisor >= 0, "fork");
	if (supervisor == 0)
		supervise(fds[1]);
	(void)close(fds[1]);
	read_answer(fds[0], &answer);
	int32_t slot = *slot_of(0);
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
	uint32_t groups[MANY];

	for (; at < argc && strcmp(argv[at], "--") != 0; at++)
		apply_key(argv[at]);
	must(at + 1 < argc, "no command");
	bed.argv = &argv[at + 1];
	planbuild_exec(&bed.build, 0, bed.request.phase, (const char *const *)&argv[at + 1],
		       bed.exec_flags);
	struct plan_list list = planbuild_texts(&bed.build, bed.environment);
	the_unit()->environment = list;
	for (uint32_t i = 0; i < bed.n_groups; i++)
		groups[i] = (uint32_t)number(bed.groups[i]);
	list = planbuild_list(&bed.build, groups, bed.n_groups);
	the_unit()->groups = list;
	if (bed.n_sockets > 0) {
		list = planbuild_list(&bed.build, &(uint32_t){1}, 1);
		the_unit()->relations[REL_TRIGGERED_BY] = list;
	}
	finish_plan();
	bed.request.exec = plan_exec(&bed.plan, 0);
}

/* ---- Many. */

static void make_units(uint32_t count, const char *path, char **key_values)
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
		apply_key(*key_values);
	for (uint32_t i = 1; i < count; i++) {
		plan_str name = the_unit()[i].name;
		the_unit()[i] = the_unit()[0];
		the_unit()[i].name = name;
	}
	finish_plan();
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
	must(n >= 0, path);
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
		*slot_of(i) = 0;
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
	become_supervisor();
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
static void run_kills(uint32_t rounds)
{
	uint32_t lost = 0, spawned = 0, state = 12345;
	_Atomic uint32_t *begun =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(begun != MAP_FAILED, "mmap");
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
	must(spawn_process(&bed.spawner, &bed.request, &pidfd) == 0, "spawn");
	return *slot_of(i);
}

static void work(const struct worker *worker, uint32_t count)
{
	pid_t *pids = calloc(count, sizeof(*pids));
	char byte;

	if (worker->prepare)
		worker->prepare();
	for (uint32_t i = 0; i < count; i++) {
		if (i % CHUNK == 0)
			must(read(worker->turn[0], &byte, 1) == 1, "turn");
		uint64_t start = clock_now_us();
		pids[i] = worker->spawn_one(i);
		worker->took_us[i] = (uint32_t)(clock_now_us() - start);
		if (i % CHUNK == CHUNK - 1 || i == count - 1)
			must(write(worker->done[1], "", 1) == 1, "done");
	}
	/* To the end of the other's work too: the machine is as full for both. */
	(void)!read(worker->turn[0], &byte, 1);
	for (uint32_t i = 0; i < count; i++)
		(void)kill(pids[i], SIGKILL);
	_exit(0);
}

static void start_worker(struct worker *worker, uint32_t count)
{
	must(pipe2(worker->turn, O_CLOEXEC) == 0 && pipe2(worker->done, O_CLOEXEC) == 0, "pipe2");
	worker->took_us = mmap(NULL, count * sizeof(uint32_t), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(worker->took_us != MAP_FAILED, "mmap");
	worker->pid = fork();
	must(worker->pid >= 0, "fork");
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

static void run_bench(uint32_t count, const char *path)
{
	struct worker bare = {.spawn_one = spawn_bare};
	struct worker ours = {.spawn_one = spawn_ours, .prepare = become_supervisor};
	char byte;

	bench_path = path;
	/* First, as a process that has nothing but its standard streams. */
	start_worker(&bare, count);
	make_shared(count);
	start_worker(&ours, count);
	for (uint32_t i = 0; i < count; i += CHUNK) {
		must(write(bare.turn[1], "", 1) == 1 && read(bare.done[0], &byte, 1) == 1, "bare");
		must(write(ours.turn[1], "", 1) == 1 && read(ours.done[0], &byte, 1) == 1, "ours");
	}
	must(write(bare.turn[1], "", 1) == 1 && write(ours.turn[1], "", 1) == 1, "end");
	while (wait(NULL) > 0)
		continue;
	printf("{\"units\":%u,\"spawn_us\":%u,\"bare_us\":%u}\n", count,
	       median(ours.took_us, count), median(bare.took_us, count));
}

int main(int argc, char **argv)
{
	struct rlimit files = {.rlim_cur = 1 << 16, .rlim_max = 1 << 16};

	must(argc > 2, "run, kills or bench");
	bool is_run = strcmp(argv[1], "run") == 0;
	uint32_t count = is_run				 ? 2
			 : strcmp(argv[1], "bench") == 0 ? (uint32_t)number(argv[2])
							 : 64;
	if (!is_run && setrlimit(RLIMIT_NOFILE, &files) < 0) {
		(void)getrlimit(RLIMIT_NOFILE, &files);
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	must(store_create(count * 4 + 64, &bed.store) == 0, "store");
	planbuild_init(&bed.build);
	if (is_run) {
		make_shared(count);
		(void)planbuild_unit(&bed.build, "test.service", NULL);
		planbuild_unit(&bed.build, "test.socket", NULL)->kind = UNIT_SOCKET;
		prepare_run(argc, argv);
		run_one();
		return 0;
	}
	must(argc > 3, "a count and a program");
	make_units(count, argv[3], argv + 4);
	if (strcmp(argv[1], "bench") == 0) {
		run_bench(count, argv[3]);
	} else {
		make_shared(count);
		run_kills((uint32_t)number(argv[2]));
	}
	return 0;
}
