/*
 * One child, and what every PID 1 owes: its signals are passed on, whatever dies is reaped, and its
 * end is ours.
 *
 * All signals but those of faults are blocked before the child exists and taken one at a time by
 * sigtimedwait: there are no handlers, so nothing interrupts anything, and no signal that arrives
 * early is lost. Blocked signals stay pending even where they are ignored, so dispositions are left
 * as they were inherited, for the command. The one exception is SIGCHLD: ignored, it would let the
 * kernel reap the command and forget its status.
 *
 * Once the command runs nothing here allocates or gives up: what fails is said, and life goes on.
 */
#include "init/pid1/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/pid1/command_child.h"
#include "init/pid1/command_rest.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/signals.h"
#include "lib/str.h"
#include "lib/sys.h"
#include "lib/termination.h"

#define EXIT_INTERNAL 70

/* How long a process may take to die of SIGKILL: one in uninterruptible sleep never does. */
#define KILL_US	      (2 * USEC_PER_SEC)
#define KILL_AGAIN_US (100 * USEC_PER_MSEC)

/* TINI_VERBOSITY */
enum { VERBOSITY_WARNING = 1, VERBOSITY_INFO, VERBOSITY_DEBUG };

struct command {
	const struct options *options;
	uint8_t rewrite[SIGNALS_MAX + 1];
	uint64_t verbosity;
	enum command_group group;
	bool is_init; /* PID 1, not a subreaper */
	bool is_group_signalled;
	pid_t terminal_group; /* had the terminal before the command; 0: nothing to give back */
	pid_t pid;
	bool is_ended, is_childless;
	bool is_blind; /* it was said that /proc does not show our descendants */
	int status;    /* once is_ended */
};

static const uint64_t waited = ~SIGNALS_FAULTS;

/*
 * Standard error is shared with the command and cannot be made non-blocking: a line that might wait
 * for a reader is dropped. A reader that is gone would send us PIPE, which is not to be passed on.
 */
static bool has_reader(void)
{
	struct pollfd error = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&error, 1, 0) == 1 && error.revents == POLLOUT;
}

__attribute__((format(printf, 3, 4))) static void say(const struct command *command,
						      uint64_t verbosity, const char *format, ...)
{
	char text[OPTIONS_MESSAGE_MAX];
	struct strbuf buf;
	va_list args;

	if (command->verbosity < verbosity || !has_reader())
		return;
	strbuf_init(&buf, text, sizeof(text));
	va_start(args, format);
	strbuf_vaddf(&buf, format, args);
	va_end(args);
	event_emit(EVENT_WARNING, "command", NULL, "%s", text);
}

/* ---- before the command */

/* Where dumb-init's variable is set its way holds, else tini's: a group, and the command alone is
 * signalled. */
static void read_environment(struct command *command)
{
	const char *verbosity = getenv("TINI_VERBOSITY"), *setsid = getenv("DUMB_INIT_SETSID");

	command->verbosity = VERBOSITY_WARNING;
	if (verbosity)
		(void)str_parse_u64(verbosity, VERBOSITY_DEBUG, &command->verbosity);
	if (setsid)
		command->group = str_equal(setsid, "0") ? COMMAND_NEITHER : COMMAND_SESSION;
	command->is_group_signalled = command->options->is_group ||
				      command->group == COMMAND_SESSION ||
				      getenv("TINI_KILL_PROCESS_GROUP");
	/* To signal a group it must be another than ours. */
	if (command->is_group_signalled && command->group == COMMAND_NEITHER)
		command->group = COMMAND_GROUP;
}

/* In an orphaned session nobody could continue what a terminal's stop signals stopped, and the
 * kernel does not even deliver them: STOP does what was meant, as with dumb-init. */
static void choose_rewrites(struct command *command)
{
	static const int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};
	const struct options *options = command->options;

	memcpy(command->rewrite, options->rewrite, sizeof(command->rewrite));
	if (command->group != COMMAND_SESSION)
		return;
	for (size_t i = 0; i < ARRAY_COUNT(stops); i++) {
		if (!(options->rewritten & SIGNALS_BIT(stops[i])))
			command->rewrite[stops[i]] = SIGSTOP;
	}
}

static void become_parent(struct command *command)
{
	command->is_init = getpid() == 1;
	if (command->is_init && !getenv("TINI_SUBREAPER"))
		return;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		say(command, VERBOSITY_WARNING,
		    "cannot become a subreaper, so orphans go elsewhere: %s", strerror(errno));
	else if (!command->is_init)
		say(command, VERBOSITY_INFO, "not PID 1: became a subreaper");
}

static void set_pdeath_signal(struct command *command)
{
	int r = signals_ask_at_parents_death(command->options->pdeath_signal);

	if (r < 0)
		say(command, VERBOSITY_WARNING, "cannot ask for a signal at the parent's death: %s",
		    strerror(-r));
}

/*
 * The terminal stays with the session's other groups unless we have the foreground: a holdfast that
 * was started with & takes nothing away. Zero stands for a group of an outer PID namespace.
 */
static bool has_terminal(const struct command *command)
{
	pid_t foreground;

	if (command->group == COMMAND_NEITHER)
		return false;
	return ioctl(STDIN_FILENO, TIOCGPGRP, &foreground) == 0 && foreground == getpgrp();
}

/*
 * A session's terminal can become another's when its leader lets go. The kernel then sends the
 * foreground group HUP and CONT; as they are blocked, they wait for us, and end here. One that was
 * there before is put back. (dumb-init #136)
 */
static bool release_terminal(void)
{
	uint64_t hangup = SIGNALS_BIT(SIGHUP), both = hangup | SIGNALS_BIT(SIGCONT);
	bool was_hung_up = signals_wait(hangup, 0) == SIGHUP;
	bool is_ours = ioctl(STDIN_FILENO, TIOCNOTTY) == 0;

	while (signals_wait(both, 0) > 0)
		;
	if (was_hung_up)
		(void)kill(getpid(), SIGHUP);
	return is_ours;
}

static bool prepare_terminal(struct command *command)
{
	if (!has_terminal(command))
		return false;
	if (command->group == COMMAND_SESSION)
		return release_terminal();
	if (!command->is_init)
		command->terminal_group = getpgrp();
	return true;
}

static int explain_exec_error(const char *name, const struct command_child *child)
{
	char text[OPTIONS_MESSAGE_MAX];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	strbuf_addf(&buf, "cannot execute %s: %s", *name ? name : "''",
		    strerror(child->exec_error));
	if (child->exec_error == ENOENT && child->is_interpreter_missing)
		strbuf_adds(&buf, " (the file is there: its interpreter is not)");
	event_emit(EVENT_ERROR, "exec", NULL, "%s", text);
	termination_write(text);
	return command_child_exec_status(child->exec_error);
}

/*
 * Files that only the command needs: kept open here too, a pipe that it closes would never end, and
 * a port that it gives up would stay taken. Standard error is for our own lines, and standard input
 * while it is the terminal that has to be given back.
 */
static void close_what_is_the_commands(const struct command *command)
{
	(void)close(STDOUT_FILENO);
	if (command->terminal_group == 0)
		(void)close(STDIN_FILENO);
	(void)sys_close_range(STDERR_FILENO + 1, ~0U, 0);
}

/* 0 when it runs, else the exit status. */
static int start(struct command *command)
{
	struct sigaction action = {.sa_handler = SIG_DFL}, inherited;
	struct command_child child = {
		.argv = command->options->command,
		.group = command->group,
		.pdeath_signal = command->options->pdeath_signal,
	};

	signals_set_mask(waited, &child.mask);
	(void)sigaction(SIGCHLD, &action, &inherited);
	child.is_sigchld_ignored = inherited.sa_handler == SIG_IGN;
	become_parent(command);
	set_pdeath_signal(command);
	child.has_terminal = prepare_terminal(command);
	command->pid = command_child_start(&child);
	if (command->pid < 0) {
		event_emit(EVENT_ERROR, "fork", NULL, "cannot make a process: %s",
			   strerror(-command->pid));
		return EXIT_INTERNAL;
	}
	if (child.exec_error)
		return explain_exec_error(child.argv[0], &child);
	close_what_is_the_commands(command);
	/* Else the file system we were started in could never be unmounted. (dumb-init #210) */
	(void)chdir("/");
	say(command, VERBOSITY_INFO, "started %s as pid %d", child.argv[0], (int)command->pid);
	return 0;
}

/* ---- while it runs */

static int exit_status(const struct command *command, const siginfo_t *info)
{
	int status = info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;

	return command->options->remap_to_zero[status & 0xff] ? 0 : status;
}

/*
 * Reaps until nothing dead is left, or until it was the command and nothing else matters. One
 * SIGCHLD may stand for many deaths, and the command's may be any of them. (catatonit #4, #5)
 */
static void reap(struct command *command)
{
	for (;;) {
		siginfo_t info = {0};
		int r = waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
		if (r < 0 && errno == EINTR)
			continue;
		command->is_childless = r < 0;
		if (r < 0 || info.si_pid == 0)
			return;
		say(command, VERBOSITY_DEBUG, "reaped pid %d", (int)info.si_pid);
		if (info.si_pid != command->pid)
			continue;
		command->status = exit_status(command, &info);
		command->is_ended = true;
		if (!command->options->is_wait_all)
			return;
	}
}

/*
 * Refused (EPERM: it runs as somebody else, and we have no CAP_KILL) or too late (ESRCH): either
 * way the command goes on or has ended, and so do we. (tini dies here)
 */
static void forward(const struct command *command, int received)
{
	int signal = command->rewrite[received];
	char name[SIGNALS_NAME_SIZE];

	signals_name(received, name);
	if (signal == 0) {
		say(command, VERBOSITY_DEBUG, "dropped %s", name);
		return;
	}
	if (kill(command->is_group_signalled ? -command->pid : command->pid, signal) < 0)
		say(command, errno == ESRCH ? VERBOSITY_INFO : VERBOSITY_WARNING,
		    "cannot pass on %s: %s", name, strerror(errno));
	else
		say(command, VERBOSITY_DEBUG, "passed on %s", name);
	/* Whoever watches us for job control sees us stop as the session did; PID 1 cannot stop. */
	if (command->group == COMMAND_SESSION && signal == SIGSTOP)
		(void)kill(getpid(), SIGSTOP);
}

static void supervise(struct command *command)
{
	while (!command->is_ended) {
		int signal = signals_wait(waited, USEC_INFINITY);
		if (signal == SIGCHLD)
			reap(command);
		else if (signal > 0)
			forward(command, signal);
	}
}

/* ---- after it */

static void signal_rest(struct command *command, int signal)
{
	int r = command_rest_signal(signal);

	if (r == 0)
		return;
	if (!command->is_blind)
		say(command, VERBOSITY_WARNING,
		    "/proc does not show what is left (%s): only the command's group is signalled",
		    strerror(-r));
	command->is_blind = true;
	(void)kill(-command->pid, signal);
}

/* Until nothing is left, or the deadline. What we are sent goes to all that is left. */
static void wait_for_rest(struct command *command, uint64_t deadline_us)
{
	while (!command->is_childless) {
		uint64_t now_us = clock_now_us();
		if (now_us >= deadline_us)
			return;
		int signal = signals_wait(waited, deadline_us - now_us);
		if (signal == SIGCHLD)
			reap(command);
		else if (signal > 0 && command->rewrite[signal] != 0)
			signal_rest(command, command->rewrite[signal]);
	}
}

static void kill_rest(struct command *command)
{
	uint64_t deadline_us = clock_add_us(clock_now_us(), KILL_US);

	while (!command->is_childless && clock_now_us() < deadline_us) {
		signal_rest(command, SIGKILL);
		wait_for_rest(command, clock_add_us(clock_now_us(), KILL_AGAIN_US));
	}
	if (!command->is_childless)
		say(command, VERBOSITY_WARNING, "what is left does not die of KILL; leaving it");
}

static void end_rest(struct command *command)
{
	uint64_t grace_us = command->options->grace_s * USEC_PER_SEC;

	reap(command);
	if (command->is_childless)
		return;
	signal_rest(command, SIGTERM);
	/* What is stopped could not act on it. */
	signal_rest(command, SIGCONT);
	wait_for_rest(command, clock_add_us(clock_now_us(), grace_us));
	if (command->is_childless)
		return;
	say(command, VERBOSITY_WARNING, "processes are left %u s after TERM: killing them",
	    command->options->grace_s);
	kill_rest(command);
}

static void give_terminal_back(const struct command *command)
{
	if (command->terminal_group != 0)
		(void)ioctl(STDIN_FILENO, TIOCSPGRP, &command->terminal_group);
}

int command_run(const struct options *options)
{
	struct command command = {.options = options};

	event_init("holdfast", EVENT_PLAIN);
	read_environment(&command);
	choose_rewrites(&command);
	int status = start(&command);
	if (status == 0) {
		supervise(&command);
		status = command.status;
		if (options->is_wait_all)
			end_rest(&command);
		else if (command.group == COMMAND_SESSION)
			(void)kill(-command.pid, SIGTERM);
	}
	give_terminal_back(&command);
	return status;
}
