#include "init/pid1/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/signals.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"
#include "lib/sys.h"

/* Two ends of two streams of every unit, and as much again for sockets, secrets and the rest. The
 * table is sparse: what is not used is no memory. */
#define CAPACITY (8 * PLAN_UNITS_MAX)

#define NOFILE_MIN 64

extern char **environ;

/* ---- before boot */

/* The layout of the kernel's struct sigaction differs by machine, but the handler stands first and
 * all zeros is SIG_DFL; libc's sigaction() refuses the signals that it keeps for itself. */
static uint64_t reset_dispositions(void)
{
	const unsigned long standard[8] = {0};
	uint64_t ignored = 0;

	for (int signal = 1; signal <= SIGNALS_MAX; signal++) {
		unsigned long old[8] = {0};
		if (syscall(SYS_rt_sigaction, signal, standard, old, sizeof(uint64_t)) == 0 &&
		    old[0] == (unsigned long)SIG_IGN)
			ignored |= SIGNALS_BIT(signal);
	}
	return ignored;
}

/* Two pipes a unit are more than the usual 1024. Below the minimum boot cannot even be started,
 * which finds out what is needed in all (init/boot/limits.c). */
static int raise_nofile(struct store_inherited *inherited)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	inherited->nofile_soft = limit.rlim_cur;
	inherited->nofile_hard = limit.rlim_max;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_max < NOFILE_MIN ? -EMFILE : 0;
}

/*
 * Our lines must never block us, and O_NONBLOCK belongs to a description that others share: so we
 * open pipes and terminals once more. Where that is refused (sockets), they are as they are.
 */
static int keep_stderr(struct instance *in)
{
	struct stat st;

	in->error_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STORE_FD + 1);
	if (in->error_fd < 0)
		return -errno;
	if (fstat(STDERR_FILENO, &st) < 0 || !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		return 0;
	CLEANUP(fd_closep) int own = fd_reopen(STDERR_FILENO, O_WRONLY | O_NONBLOCK | O_NOCTTY);
	if (own >= 0)
		(void)dup2(own, STDERR_FILENO);
	return 0;
}

/* The folder that we ourselves lie in. Before /proc is mounted the kernel's word has to do. */
static int open_own_folder(void)
{
	char path[PATH_MAX];

	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (n > 0)
		path[n] = '\0';
	else if (!str_copy(path, sizeof(path), (const char *)getauxval(AT_EXECFN)))
		return -ENAMETOOLONG;
	char *slash = strrchr(path, '/');
	if (!slash)
		return -ENOENT;
	slash[slash == path ? 1 : 0] = '\0';
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool is_optional(enum role role)
{
	return role == ROLE_HEALTH || role == ROLE_SECRETS || role == ROLE_SECRETS_REMOTE ||
	       role == ROLE_CTL;
}

static int put_program(struct instance *in, int folder, const char *name, uint32_t index,
		       bool may_be_missing)
{
	int fd = openat(folder, name, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return may_be_missing ? 0 : -errno;
	return store_put(in->store, STORE_EXEC, index, fd);
}

static int put_programs(struct instance *in, const char **ret_what)
{
	CLEANUP(fd_closep) int folder = open_own_folder();

	*ret_what = "the folder of holdfast's programs";
	if (folder < 0)
		return folder;
	for (enum role role = ROLE_BOOT; role < ROLE_COUNT; role++) {
		*ret_what = role_programs[role];
		int r = put_program(in, folder, role_programs[role], role, is_optional(role));
		if (r < 0)
			return r;
	}
	*ret_what = ROOM_STUB;
	return put_program(in, folder, ROOM_STUB, STORE_EXEC_STUB, true);
}

static int write_environment(int fd)
{
	for (char **entry = environ; *entry; entry++) {
		int r = io_write_all(fd, *entry, strlen(*entry) + 1);
		if (r < 0)
			return r;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* Only in the crash flavour is one variable kept (lib/crash.h). */
static void wipe_environment(void)
{
	static char *kept[2];
#ifdef HOLDFAST_CRASH_POINTS
	static char crash[256] = "HOLDFAST_CRASH=";
	const char *value = getenv("HOLDFAST_CRASH");
	if (value && str_copy(crash + strlen(crash), sizeof(crash) - strlen(crash), value))
		kept[0] = crash;
#endif
	for (char **entry = environ; *entry; entry++)
		memset(*entry, 0, strlen(*entry));
	environ = kept;
}

static int put_environment(struct instance *in)
{
	CLEANUP(fd_closep)
	int fd = sys_memfd_create("holdfast-environ", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	int r = write_environment(fd);
	if (r < 0)
		return r;
	wipe_environment();
	return store_put(in->store, STORE_ENVIRON, 0, fd_steal(&fd));
}

static int put_output(struct instance *in)
{
	int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STORE_FD + 1);

	return fd < 0 ? -errno : store_put(in->store, STORE_OUTPUT, 0, fd);
}

int pack_begin(struct instance *in, const char **ret_what)
{
	struct store_inherited inherited = {0};

	signals_set_mask(~SIGNALS_FAULTS, &inherited.mask);
	inherited.ignored = reset_dispositions();
	*ret_what = "the limit on open files (RLIMIT_NOFILE) must be 64 or more";
	int r = raise_nofile(&inherited);
	if (r < 0)
		return r;
	*ret_what = "the standard files";
	r = fd_ensure_stdio();
	if (r == 0)
		r = fd_close_from(STORE_FD);
	if (r < 0)
		return r;
	*ret_what = "the store";
	r = store_create(CAPACITY, &in->store);
	if (r < 0)
		return r;
	in->store->inherited = inherited;
	*ret_what = "stderr";
	r = keep_stderr(in);
	if (r < 0)
		return r;
	r = put_programs(in, ret_what);
	if (r < 0)
		return r;
	*ret_what = "the environment";
	r = put_environment(in);
	if (r < 0)
		return r;
	*ret_what = "stdout";
	return put_output(in);
}

/* ---- after it */

static const enum store_kind wanted_of_boot[] = {
	STORE_PLAN, STORE_PLAN_PUBLIC, STORE_BOARD, STORE_BOARD_PUBLIC,
	STORE_RING, STORE_CAPTURE,     STORE_GATE,
};

static const struct {
	enum store_kind kind;
	size_t field; /* of struct instance, when we use it too */
} events[] = {
#define FIELD(name) offsetof(struct instance, name)
	{STORE_EVENT_JOURNAL, FIELD(event_journal)}, {STORE_EVENT_PHASE, FIELD(event_phase)},
	{STORE_EVENT_ASK_INIT, FIELD(event_ask)},    {STORE_EVENT_ASK_SUPERVISOR, 0},
	{STORE_EVENT_ANSWER, FIELD(event_answer)},
#undef FIELD
};

static int check_boot(const struct instance *in)
{
	for (size_t i = 0; i < ARRAY_COUNT(wanted_of_boot); i++) {
		if (store_find(in->store, wanted_of_boot[i], 0) < 0)
			return -ENODATA;
	}
	return 0;
}

/* Nobody cuts it below us, and nobody but us opens it to write by /proc/PID/fd: memory comes with rights
 * for all. The crash flavour leaves it open, for tests crash PID 1 by that. */
static int close_journal(int fd)
{
	if (fchmod(fd, 0400) < 0)
		return -errno;
#ifndef HOLDFAST_CRASH_POINTS
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
#endif
	return 0;
}

static int put_journal(struct instance *in)
{
	CLEANUP(fd_closep)
	int fd = sys_memfd_create("holdfast-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	int r = journal_format(fd);
	if (r == 0)
		r = close_journal(fd);
	if (r == 0)
		r = journal_map(fd, true, &in->journal);
	if (r < 0)
		return r;
	int reader = fd_reopen(fd, O_RDONLY);
	if (reader < 0)
		return reader;
	r = store_put(in->store, STORE_JOURNAL_READ, 0, reader);
	return r < 0 ? r : store_put(in->store, STORE_JOURNAL, 0, fd_steal(&fd));
}

static int put_events(struct instance *in)
{
	for (size_t i = 0; i < ARRAY_COUNT(events); i++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0)
			return -errno;
		int r = store_put(in->store, events[i].kind, 0, fd);
		if (r < 0)
			return r;
		if (events[i].field)
			*(int *)((char *)in + events[i].field) = fd;
	}
	return 0;
}

static int put_pipe(struct instance *in, uint32_t stream, int ends[2])
{
	int r = store_put(in->store, STORE_PIPE_READ, stream, ends[0]);

	if (r < 0) {
		(void)fd_close(ends[1]);
		return r;
	}
	return store_put(in->store, STORE_PIPE_WRITE, stream, ends[1]);
}

static int put_unit_pipe(struct instance *in, uint32_t stream)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	/* Services expect writes that wait. */
	(void)fcntl(ends[1], F_SETFL, 0);
	return put_pipe(in, stream, ends);
}

/* Nobody of ours may hang on log: both ends do not block. */
static int put_own_pipe(struct instance *in, uint32_t stream)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	return put_pipe(in, stream, ends);
}

static void drop_pipe(struct instance *in, uint32_t stream)
{
	store_drop(in->store, STORE_PIPE_READ, stream);
	store_drop(in->store, STORE_PIPE_WRITE, stream);
}

/* Up to the stream that end is not one of. */
static int put_unit_pipes(struct instance *in, uint32_t end)
{
	int r = 0;

	while (r == 0 && in->n_unit_pipes < end) {
		r = put_unit_pipe(in, in->n_unit_pipes);
		in->n_unit_pipes += r == 0;
	}
	return r;
}

void pack_units(struct instance *in, uint32_t n_units)
{
	(void)put_unit_pipes(in, stream_of_unit(n_units, STREAM_STDOUT));
}

static int put_pipes(struct instance *in)
{
	uint32_t n_units = plan_unit_count(&in->plan);
	uint32_t end = stream_of_unit(n_units, STREAM_STDOUT);

	int r = put_unit_pipes(in, end);
	if (r < 0)
		return r;
	for (uint32_t stream = end; stream < in->n_unit_pipes; stream++)
		drop_pipe(in, stream);
	/* Nothing runs in a target. */
	for (uint32_t i = 0; i < n_units; i++) {
		if (plan_unit(&in->plan, i)->kind != UNIT_TARGET)
			continue;
		drop_pipe(in, stream_of_unit(i, STREAM_STDOUT));
		drop_pipe(in, stream_of_unit(i, STREAM_STDERR));
	}
	for (enum role role = ROLE_INIT; role < ROLE_COUNT; role++) {
		r = put_own_pipe(in, stream_of_role(n_units, role));
		if (r < 0)
			return r;
	}
	return 0;
}

/* error_fd becomes the description that does not block: boot, which had the other, is gone. */
static int swap_stderr(struct instance *in)
{
	int own = store_find(in->store, STORE_PIPE_WRITE,
			     stream_of_role(plan_unit_count(&in->plan), ROLE_INIT));

	if (dup3(STDERR_FILENO, in->error_fd, O_CLOEXEC) < 0)
		return -errno;
	return dup2(own, STDERR_FILENO) < 0 ? -errno : 0;
}

void pack_restore_stderr(struct instance *in)
{
	if (in->is_up)
		(void)dup2(in->error_fd, STDERR_FILENO);
}

int pack_finish(struct instance *in, const char **ret_what)
{
	*ret_what = "what boot had to put into the store";
	int r = check_boot(in);
	if (r < 0)
		return r;
	/* In a bare namespace it is boot that makes /dev. */
	*ret_what = "/dev/null";
	in->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (in->null_fd < 0)
		return -errno;
	*ret_what = "the plan";
	r = plan_map(store_find(in->store, STORE_PLAN, 0), &in->plan);
	if (r < 0)
		return r;
	*ret_what = "the board";
	r = board_map(store_find(in->store, STORE_BOARD_PUBLIC, 0), false, &in->board);
	if (r == 0 && in->board.n_units != plan_unit_count(&in->plan))
		r = -EBADMSG;
	if (r < 0)
		return r;
	*ret_what = "the journal";
	r = put_journal(in);
	if (r < 0)
		return r;
	*ret_what = "the eventfds";
	r = put_events(in);
	if (r < 0)
		return r;
	*ret_what = "the pipes of the units (see RLIMIT_NOFILE)";
	r = put_pipes(in);
	if (r < 0)
		return r;
	*ret_what = "our stream";
	r = swap_stderr(in);
	in->is_up = r == 0;
	return r;
}
