#include "supervisor/child.h"

/*
 * The order of the steps is the order in which rights are given up: what needs the supervisor's
 * rights comes before the ids, what the service must not be able to undo comes after them, and the
 * standard streams come late, so that until then a failure can be told on ours.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/raw.h"
#include "lib/signals.h"
#include "lib/str.h"
#include "lib/sys.h"
#include "supervisor/setup.h"

/*
 * With 1000 units the supervisor has thousands of fds, and copying all of them for a child, only to
 * close them at the exec, costs twice as much as all the rest. So a child that needs but a few
 * shares the table, and what it needs stands at the lowest numbers: this copies those alone. Until
 * then the supervisor either stands still (CLONE_VFORK) or leaves those numbers as they are.
 */
static int own_files(struct child *child)
{
	if (!child->shares_files)
		return 0;
	return RAW3(close_range, child->spawner->low_end, ~0U, CLOSE_RANGE_UNSHARE);
}

/* holdfast -- CMD at a terminal: CMD is its foreground process group, as tini does it, for a new
 * session would take the terminal away. */
static bool wants_terminal(const struct child *child)
{
	return (child->unit->flags & UNIT_IS_MAIN) && (child->unit->flags & UNIT_STDIN_INHERIT) &&
	       child->request->phase == EXEC_START && isatty(STDIN_FILENO);
}

static int enter_session(struct child *child)
{
	if (!wants_terminal(child))
		return setsid() < 0 ? -errno : 0;
	if (setpgid(0, 0) < 0)
		return -errno;
	/* SIGTTOU is blocked, as all are. Not being in the terminal's session is no failure. */
	(void)tcsetpgrp(STDIN_FILENO, getpid());
	return 0;
}

static int change_directory(struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	const char *wanted = plan_string(plan, child->unit->working_directory);

	if (*wanted == '\0') {
		if ((child->unit->flags & UNIT_IS_MAIN) || child->spawner->is_at_root)
			return 0;
		wanted = "/";
	}
	if (strcmp(wanted, "~") == 0)
		wanted = plan_string(plan, child->unit->home);
	if (*wanted == '\0')
		wanted = "/";
	child->detail = wanted;
	int r = RAW1(chdir, RAW_POINTER(wanted));
	if (r < 0 && child->unit->working_directory_optional)
		r = RAW1(chdir, RAW_POINTER("/"));
	return r;
}

static int set_umask(struct child *child)
{
	if (child->unit->umask != child->spawner->umask)
		(void)umask((mode_t)child->unit->umask);
	return 0;
}

static int set_parent_death_signal(struct child *child)
{
	if (child->unit->pdeath_signal == 0)
		return 0;
	return RAW2(prctl, PR_SET_PDEATHSIG, child->unit->pdeath_signal);
}

/* Never from a number to itself: what the child needs lies above those three. */
static int put_at(int fd, int number)
{
	int r = RAW3(dup3, fd, number, 0);

	return r < 0 ? r : 0;
}

static int set_stdin(struct child *child)
{
	bool is_inherited =
		(child->unit->flags & UNIT_STDIN_INHERIT) && child->request->phase == EXEC_START;

	if (is_inherited || child->spawner->is_stdin_null)
		return 0;
	return put_at(child->null_fd, STDIN_FILENO);
}

static int set_stdout(struct child *child)
{
	return put_at(child->output_fd, STDOUT_FILENO);
}

static int set_stderr(struct child *child)
{
	return put_at(child->error_fd, STDERR_FILENO);
}

/* LISTEN_FDS starts at 3. What must survive until the exec lies above (spawn_init saw to it); a
 * socket that lies in the way of an earlier one is moved first. */
static int set_sockets(struct child *child)
{
	int end = 3 + (int)child->n_sockets;

	for (uint32_t i = 0; i < child->n_sockets; i++) {
		if (child->sockets[i] >= end)
			continue;
		int moved = fcntl(child->sockets[i], F_DUPFD_CLOEXEC, end);
		if (moved < 0)
			return -errno;
		child->sockets[i] = moved;
	}
	for (uint32_t i = 0; i < child->n_sockets; i++) {
		if (dup2(child->sockets[i], 3 + (int)i) < 0)
			return -errno;
	}
	return 0;
}

/* Handlers go at the exec, what is ignored stays: only the differences are to be set. */
static int set_signals(struct child *child)
{
	const struct store_inherited *inherited = &child->spawner->store->inherited;
	uint64_t ignored = inherited->ignored & ~SIGNALS_BIT(SIGPIPE);

	if (child->unit->flags & UNIT_IGNORE_SIGPIPE)
		ignored |= SIGNALS_BIT(SIGPIPE);
	uint64_t differs = ignored ^ child->spawner->ignored;
	for (int number = 1; differs != 0 && number <= SIGNALS_MAX; number++) {
		uint64_t bit = SIGNALS_BIT(number);
		if (differs & bit)
			signals_ignore(number, ignored & bit);
	}
	signals_set_mask(inherited->mask, NULL);
	return 0;
}

/* One process, or with a minus its group. Never everybody (-1), never our own group (0). */
static bool kill_target(const char *text, int number)
{
	bool is_group = *text == '-';
	uint64_t pid;

	if (number < 0 || str_parse_u64(text + is_group, INT32_MAX, &pid) < 0 ||
	    pid < (is_group ? 2U : 1U))
		return false;
	return kill(is_group ? -(pid_t)pid : (pid_t)pid, number) == 0;
}

/* kill(1), of which units use no more than: kill [-SIGNAL | -s SIGNAL] [--] PID... */
static int run_kill(struct child *child)
{
	int number = SIGTERM;
	size_t at = 1;

	if (at + 1 < child->n_argv && strcmp(child->argv[at], "-s") == 0) {
		number = signals_parse(child->argv[at + 1]);
		at += 2;
	} else if (at < child->n_argv && child->argv[at][0] == '-' &&
		   strcmp(child->argv[at], "--") != 0) {
		number = signals_parse(child->argv[at++] + 1);
	}
	if (at < child->n_argv && strcmp(child->argv[at], "--") == 0)
		at++;
	bool is_good = at < child->n_argv;
	for (; at < child->n_argv; at++)
		is_good = kill_target(child->argv[at], number) && is_good;
	_exit(is_good ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int execute(struct child *child)
{
	child->detail = plan_string(child->spawner->plan, child->request->exec->path);
	if (child->request->exec->flags & EXEC_BUILTIN_KILL)
		return run_kill(child);
	int r = RAW3(execve, RAW_POINTER(child->detail), RAW_POINTER(child->argv),
		     RAW_POINTER(child->envp));
	/* An exec gate that died with the question in hand has it refused by its successor, which
	 * knows nothing of it. The second time it does. */
	if (r == -EPERM)
		r = RAW3(execve, RAW_POINTER(child->detail), RAW_POINTER(child->argv),
			 RAW_POINTER(child->envp));
	return r;
}

static const struct step {
	const char *name;
	int status;
	int (*run)(struct child *child);
} steps[] = {
	{"enter the cgroup", 219, confine_cgroup},
	{"close what is not its own", 202, own_files},
	{"make a session", 220, enter_session},
	{"set OOMScoreAdjust=", 206, confine_oom_score},
	{"set Nice=", 201, confine_nice},
	{"map the secrets", 243, credentials_map},
	{"prepare a directory", 233, directory_prepare},
	{"write the credentials", 243, credentials_write},
	{"set up mounts", 226, confine_mounts},
	{"confine it to its files", 226, confine_files},
	{"change the root", 210, confine_root},
	{"set limits", 205, confine_limits},
	{"set the umask", 202, set_umask},
	{"enter the filter", 228, confine_filter_early},
	{"limit capabilities", 218, confine_bounding},
	{"set groups", 216, confine_groups},
	{"set the user", 217, confine_user},
	{"set capabilities", 218, confine_capabilities},
	{"enter the working directory", 200, change_directory},
	{"forbid new privileges", 227, confine_no_new_privileges},
	{"set the parent-death signal", 207, set_parent_death_signal},
	{"set stdin", 208, set_stdin},
	{"set stdout", 209, set_stdout},
	{"set stderr", 222, set_stderr},
	{"hand over sockets", 202, set_sockets},
	{"hand over secrets", 243, credentials_open_fds},
	{"make the environment", 204, command_complete},
	{"restore signals", 207, set_signals},
	{"enter the filter", 228, confine_filter},
	{"execute", 203, execute},
};

static void tell(const struct child *child, const char *step, int error, int status)
{
	const char *word = setup_status_name(status);
	struct strbuf buf;

	strbuf_init(&buf, child->spawner->failure, BOARD_FAILURE_MAX);
	strbuf_addf(&buf, "cannot %s%s%s: %s (exit status %d/%s)", step, child->detail ? ": " : "",
		    child->detail ? child->detail : "", strerror(error), status, word ? word : "?");
	event_with_string("step", step);
	event_with_i64("errno", error);
	event_with_i64("status", status);
	event_emit(EVENT_ERROR, "setup-failed", child->name, "%s", child->spawner->failure);
}

static int fail(struct child *child, const struct step *step, int error)
{
	int status = child->status ? child->status : step->status;

	if (child->is_flying) {
		child->failed = step->name;
		child->failed_error = error;
		child->failed_status = status;
		return status;
	}
	(void)dup2(child->event_fd, STDERR_FILENO);
	tell(child, step->name, error, status);
	return status;
}

void child_tell(const struct child *child)
{
	tell(child, child->failed, child->failed_error, child->failed_status);
}

int child_run(void *argument)
{
	struct child *child = argument;

	for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
		child->detail = NULL;
		child->status = 0;
		int r = steps[i].run(child);
		if (r < 0)
			_exit(fail(child, &steps[i], -r));
	}
	_exit(EXIT_FAILURE);
}

bool child_needs_copy(const struct spawner *spawner, const struct plan_unit *unit,
		      const struct spawn_request *request)
{
	/* confine_oom_score changes what is the memory's, not the process's. */
	if ((unit->flags & UNIT_OOM_SCORE) && spawner->uid != 0)
		return true;
	return unit->secrets.count > 0 || unit->templates.count > 0 || request->secret_fd >= 0 ||
	       (unit->flags & UNIT_INHERIT_ENVIRONMENT);
}

bool child_can_fly(const struct spawner *spawner, const struct plan_unit *unit,
		   const struct spawn_request *request)
{
	const uint64_t no =
		UNIT_OOM_SCORE | UNIT_NICE | UNIT_IS_MAIN | UNIT_PRIVATE_TMP | UNIT_AMBIENT;

	return spawner->has_close_range && !(unit->flags & no) && spawner->inheritable == 0 &&
	       !child_needs_copy(spawner, unit, request) && unit->directories.count == 0 &&
	       unit->scratch.count == 0 && unit->root_directory == 0 &&
	       unit->relations[REL_TRIGGERED_BY].count == 0 &&
	       !(request->exec->flags & EXEC_BUILTIN_KILL);
}
