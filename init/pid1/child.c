#include "init/pid1/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "init/pid1/room.h"
#include "lib/signals.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/sys.h"

#define STATUS_EXEC 203 /* systemd.exec(5): EXIT_EXEC */

/* Returns only when the program cannot be executed. */
static void exec_program(int fd, char *const argv[])
{
	char *environment[] = {NULL, NULL};
#ifdef HOLDFAST_CRASH_POINTS
	char crash[256];
	if (getenv("HOLDFAST_CRASH") &&
	    snprintf(crash, sizeof(crash), "HOLDFAST_CRASH=%s", getenv("HOLDFAST_CRASH")) > 0)
		environment[0] = crash;
#endif
	(void)sys_exec_fd(fd, argv, environment);
}

void child_publish(const struct instance *in, enum role role, pid_t pid)
{
	if (in->journal)
		in->journal->pids[role] = pid;
}

static _Noreturn void run_child(const struct instance *in, enum role role, char *const argv[],
				const struct child_setup *setup)
{
	/* In ascending order none of these sources is overwritten before it was used: a source
	 * is the target's own number or lies above 2. */
	for (int i = 0; i < 3; i++) {
		if (setup->fds[i] != i && dup2(setup->fds[i], i) < 0)
			_exit(STATUS_EXEC);
	}
	/* As one of the room they could not execute what they are, nor start anything. */
	if (!instance_leave_room(in))
		_exit(STATUS_EXEC);
	/* A terminal's Ctrl-C, or a TERM for our whole group, is for us to hear: not for daemons. */
	(void)setsid();
	/* Before it is another program, so that the gate never sees one that it does not know. */
	child_publish(in, role, getpid());
	/* Where we are no PID namespace's init our death does not take them along. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	store_expose(in->store, role);
	signals_set_mask(setup->blocked, NULL);
	exec_program(store_find(in->store, STORE_EXEC, role), argv);
	event_with_i64("errno", errno);
	event_emit(EVENT_ERROR, "exec-failed", NULL, "%s cannot be executed", role_programs[role]);
	_exit(STATUS_EXEC);
}

int child_start(struct instance *in, enum role role, char *const argv[],
		const struct child_setup *setup)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(in, role, argv, setup);
	child_publish(in, role, pid);
	in->children[role].pid = pid;
	in->children[role].started_us = clock_now_us();
	in->children[role].respawn_us = USEC_INFINITY;
	return 0;
}
