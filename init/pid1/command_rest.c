/*
 * PID 1 has kill(-1), which the kernel keeps within its namespace. A subreaper has no such call: it
 * looks its descendants up in /proc. That is a picture of a moving thing, so whoever must reach all
 * of them (KILL) asks again until wait(2) says that there are no children left: what a killed
 * process leaves behind becomes our child.
 *
 * A pid may have been given to a stranger between the look and the signal: a pidfd is opened first,
 * and when that process was started is compared again.
 */
#include "init/pid1/command_rest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/str.h"
#include "lib/sys.h"

/* What is beyond stays unseen until the next look. */
#define PROCESSES_MAX 32768

struct process {
	uint64_t start_ticks;
	pid_t pid, parent;
	bool is_below, is_dead;
};

/* Untouched, and so no memory, until -w finds something to end. */
static struct process processes[PROCESSES_MAX];
static size_t n_processes;

/* The kernel's (getdents64(2)); libc's opendir allocates. */
struct entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

static void add(int proc, const char *name)
{
	struct proc_stat stat;
	uint64_t pid;

	if (str_parse_u64(name, INT32_MAX, &pid) < 0 || n_processes == PROCESSES_MAX ||
	    proc_read_stat(proc, (pid_t)pid, &stat) < 0)
		return;
	/* On a host the kernel's own threads are below nobody, and never end. */
	if (stat.is_kernel)
		return;
	processes[n_processes++] = (struct process){
		.start_ticks = stat.start_ticks,
		.pid = (pid_t)pid,
		.parent = stat.parent,
		.is_dead = proc_is_dead(&stat),
	};
}

static int list(int proc)
{
	_Alignas(8) char buffer[4096];

	n_processes = 0;
	for (;;) {
		long n = syscall(SYS_getdents64, proc, buffer, sizeof(buffer));
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (long at = 0; at < n;) {
			const struct entry *entry = (const void *)(buffer + at);
			add(proc, entry->name);
			at += entry->length;
		}
	}
}

static int compare(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static bool is_known_below(pid_t pid)
{
	/* proc(5) lists pids in ascending order (next_tgid). */
	const struct process key = {.pid = pid};
	const struct process *found =
		bsearch(&key, processes, n_processes, sizeof(processes[0]), compare);

	return found && found->is_below;
}

static void mark_descendants(pid_t self)
{
	for (bool is_changed = true; is_changed;) {
		is_changed = false;
		for (size_t i = 0; i < n_processes; i++) {
			struct process *process = &processes[i];
			if (process->is_below || process->pid == self)
				continue;
			/* What entered PID 1's namespace from outside has a parent of 0. */
			process->is_below = self == 1 || process->parent == self ||
					    is_known_below(process->parent);
			is_changed = is_changed || process->is_below;
		}
	}
}

static void send_checked(int proc, const struct process *process, int signal)
{
	CLEANUP(fd_closep) int pidfd = sys_pidfd_open(process->pid, 0);
	struct proc_stat now;

	if (pidfd < 0) {
		if (SYS_IS_MISSING(errno))
			(void)kill(process->pid, signal);
		return;
	}
	if (proc_read_stat(proc, process->pid, &now) < 0 || now.start_ticks != process->start_ticks)
		return;
	if (sys_pidfd_send_signal(pidfd, signal, NULL, 0) < 0 && SYS_IS_MISSING(errno))
		(void)kill(process->pid, signal);
}

static int kept_proc = -EBADF;

void command_rest_keep_proc(void)
{
	kept_proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int open_folder(void)
{
	return kept_proc < 0 ? open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			     : openat(kept_proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Our own pid as this /proc has it: another one is another namespace's. */
static int open_proc(pid_t self)
{
	CLEANUP(fd_closep) int proc = open_folder();
	char link[16], name[16];

	if (proc < 0)
		return -errno;
	ssize_t n = readlinkat(proc, "self", link, sizeof(link) - 1);
	if (n < 0)
		return -errno;
	link[n] = '\0';
	(void)snprintf(name, sizeof(name), "%d", (int)self);
	return str_equal(link, name) ? fd_steal(&proc) : -EXDEV;
}

static bool is_excepted(pid_t pid, const pid_t except[COMMAND_REST_EXCEPT])
{
	for (int i = 0; i < COMMAND_REST_EXCEPT; i++) {
		if (except[i] == pid)
			return true;
	}
	return false;
}

int command_rest_reach(int signal, const pid_t except[COMMAND_REST_EXCEPT], size_t *ret_count)
{
	pid_t self = getpid();
	size_t count = 0;

	CLEANUP(fd_closep) int proc = open_proc(self);
	if (proc < 0)
		return proc;
	int r = list(proc);
	if (r < 0)
		return r;
	mark_descendants(self);
	for (size_t i = 0; i < n_processes; i++) {
		if (!processes[i].is_below || is_excepted(processes[i].pid, except))
			continue;
		/* A process whose first thread alone has ended looks dead: it is signalled too. */
		count += !processes[i].is_dead;
		if (signal != 0)
			send_checked(proc, &processes[i], signal);
	}
	if (ret_count)
		*ret_count = count;
	return 0;
}

int command_rest_signal(int signal)
{
	if (getpid() != 1)
		return command_rest_reach(signal, (const pid_t[COMMAND_REST_EXCEPT]){0}, NULL);
	(void)kill(-1, signal);
	return 0;
}
