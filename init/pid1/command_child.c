/*
 * The child is cloned with CLONE_VM and CLONE_VFORK: nothing is copied, we stand still until it has
 * executed the command, and it tells us by a store to our memory why it could not. It runs on a
 * part of our stack, allocates nothing, and changes nothing of ours but what command_child.h names
 * and the environment's LISTEN_PID.
 *
 * It gives back what it was started with: the signal mask last of all, since until then nothing can
 * stop or kill it half-way. Dispositions need no care, because holdfast changes none but SIGCHLD's.
 */
#include "init/pid1/command_child.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/signals.h"
#include "lib/str.h"

#define STACK_SIZE   (16 * 1024)
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define LISTEN_PID   "LISTEN_PID="

/* Frames that execve(2) leaves behind on our stack: AddressSanitizer would guard them for ever. */
#define LEFT_BEHIND __attribute__((no_sanitize_address))

extern char **environ;

/*
 * Sockets by sd_listen_fds(3) are for the process that LISTEN_PID names: that is us, or 1 when a
 * container's runtime wrote what it saw from inside. The command is meant. (catatonit #13)
 */
static void rewrite_listen_pid(pid_t pid)
{
	static char entry[sizeof(LISTEN_PID) + 12];
	struct strbuf buf;
	uint64_t named;

	for (char **e = environ; *e; e++) {
		if ((*e)[0] != 'L' || !str_starts(*e, LISTEN_PID))
			continue;
		if (str_parse_u64(*e + sizeof(LISTEN_PID) - 1, INT_MAX, &named) < 0)
			return;
		if (named != 1 && named != (uint64_t)getppid())
			return;
		strbuf_init(&buf, entry, sizeof(entry));
		strbuf_addf(&buf, LISTEN_PID "%d", (int)pid);
		*e = entry;
		(void)unsetenv("LISTEN_PIDFDID");
		return;
	}
}

static void hand_over_terminal(const struct command_child *child)
{
	pid_t group = getpid();

	/* What fails here leaves a command without job control, as it would be without us. */
	if (child->group == COMMAND_SESSION)
		(void)ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	else if (child->group == COMMAND_GROUP)
		(void)ioctl(STDIN_FILENO, TIOCSPGRP, &group);
}

/* ENOEXEC: a script without #! is the shell's, as execvp(3) and POSIX have it. */
LEFT_BEHIND static void execute_by_shell(char **argv, char *path)
{
	char *name = argv[0], *before = argv[-1];

	argv[0] = path;
	argv[-1] = (char *)(uintptr_t) "sh";
	(void)execve("/bin/sh", argv - 1, environ);
	argv[0] = name;
	argv[-1] = before;
}

/* Comes back with the errno of the file itself. */
LEFT_BEHIND static int execute(struct command_child *child, char *path)
{
	(void)execve(path, child->argv, environ);
	int error = errno;
	if (error == ENOEXEC)
		execute_by_shell(child->argv, path);
	if (error == ENOENT && access(path, F_OK) == 0)
		child->is_interpreter_missing = true;
	return error;
}

/* The directory at *path, with name behind it; *path moves behind its colon, or becomes NULL. */
static bool next_candidate(const char **path, const char *name, struct strbuf *candidate)
{
	const char *start = *path, *end = strchrnul(start, ':');

	strbuf_reset(candidate);
	strbuf_add(candidate, start, (size_t)(end - start));
	if (end > start)
		strbuf_addc(candidate, '/');
	strbuf_adds(candidate, name);
	*path = *end ? end + 1 : NULL;
	return !candidate->is_cut;
}

/* Not here; the next directory may have it. */
static bool is_search_continued(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ENAMETOOLONG;
}

LEFT_BEHIND static int execute_by_search(struct command_child *child)
{
	char data[PATH_MAX], *name = child->argv[0];
	const char *path = getenv("PATH");
	struct strbuf candidate;
	int error = ENOENT;

	if (!path)
		path = DEFAULT_PATH;
	strbuf_init(&candidate, data, sizeof(data));
	while (path) {
		if (!next_candidate(&path, name, &candidate))
			continue;
		int now = execute(child, data);
		if (!is_search_continued(now))
			return now;
		/* "Permission denied" says more than "not found" in some other directory. */
		if (now == EACCES)
			error = EACCES;
	}
	return error;
}

LEFT_BEHIND static int run_child(void *data)
{
	struct command_child *child = data;
	pid_t pid = getpid();

	if (child->group == COMMAND_SESSION)
		(void)setsid();
	else if (child->group == COMMAND_GROUP)
		(void)setpgid(0, 0);
	if (child->has_terminal)
		hand_over_terminal(child);
	/* Any other is sent to us and passed on; this one would end us and leave it. */
	if (child->pdeath_signal == SIGKILL)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	rewrite_listen_pid(pid);
	if (child->is_sigchld_ignored)
		(void)signal(SIGCHLD, SIG_IGN);
	signals_set_mask(child->mask, NULL);
	char *name = child->argv[0];
	if (!*name)
		child->exec_error = ENOENT;
	else if (strchr(name, '/'))
		child->exec_error = execute(child, name);
	else
		child->exec_error = execute_by_search(child);
	_exit(command_child_exec_status(child->exec_error));
}

pid_t command_child_start(struct command_child *child)
{
	_Alignas(16) char stack[STACK_SIZE];
	pid_t pid =
		clone(run_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, child);

	return pid < 0 ? -errno : pid;
}

int command_child_exec_status(int exec_error)
{
	return exec_error == ENOENT || exec_error == ENOTDIR ? 127 : 126;
}
