#pragma once
/*
 * Starting one process of a unit: clone3 as PID 1's child with the pid written by the kernel into
 * the board's slot, then, in the child, everything that stands between the fork and the program.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/board.h"
#include "lib/plan.h"
#include "lib/store.h"

/* What is the same for every spawn; made once by spawn_init and never changed. */
struct spawner {
	const struct plan *plan;
	const struct store_table *store;
	struct board *board;
	/* Taken from the store once, by index; -EBADF where there is none. */
	int *pipe_write; /* by stream */
	int *socket_fds; /* by plan socket */
	uint32_t n_streams, n_sockets;
	int null_fd, credentials_fd, cgroup_fd, environ_fd;
	int event_fd; /* where a child says what failed: a copy of our stderr */
	/* Numbers as low as can be, all below low_end, for the few fds that most children need
	 * (enum low_fd): see child_own_files. */
	int low[7], low_end;
	bool has_close_range;

	/* What we are ourselves: a child changes only what differs from its unit. */
	uint64_t ignored;      /* signals, as in store_inherited */
	uint64_t capabilities; /* permitted */
	uint64_t inheritable, bounding;
	uint64_t nofile_soft, nofile_hard;
	uint32_t uid, gid, umask;
	bool is_at_root; /* our working directory is / */
	bool is_stdin_null;

	/* Memory for one spawn at a time: arguments and environment, and the child's stack. */
	char *arena, *stack;
};

/* What differs. */
struct spawn_request {
	uint32_t unit;
	enum board_slot slot;
	const struct plan_exec *exec;
	enum exec_phase phase;
	/* The first command of this activation: what the last one left in the unit's runtime
	 * directories is removed, and its credentials are written afresh. */
	bool is_first;
	/* Which activation of the unit this is: the same for all its commands, another for the next
	 * one ($INVOCATION_ID is made from it). The time of the activation will do. */
	uint64_t run;
	int32_t main_pid; /* for $MAINPID; 0: not set */
	/* For ExecStop= and ExecStopPost= only: $SERVICE_RESULT, $EXIT_CODE, $EXIT_STATUS. */
	const char *result, *exit_code, *exit_status;
	int secret_fd; /* what holdfast-secrets filled for this unit; -EBADF: none */
};

/* Looks up and keeps what every spawn needs. After it the caller changes neither its signal
 * dispositions nor ids, umask, limits or working directory. 0 or -errno. */
int spawn_init(struct spawner *spawner, const struct plan *plan, const struct store_table *store,
	       struct board *board);

/*
 * Starts it, and returns when the program runs or its set-up has failed: every shape of the clone
 * has CLONE_VFORK (also the one without CLONE_VM), so Type=exec costs nothing. 0 with the slot
 * filled by the kernel and *ret_pidfd owned by the caller (-EBADF where the kernel has none, or the
 * process is reaped already), or -errno when no process came to be.
 *
 * What fails in the child ends it with systemd's status for that step (systemd.exec(5), "Process
 * Exit Codes": 200 CHDIR, 203 EXEC, 217 USER, 226 NAMESPACE, 243 CREDENTIALS …) after one event
 * line that names the step and errno.
 *
 * -EINVAL when the caller is init of its PID namespace: the kernel gives such a process no siblings.
 */
int spawn_process(const struct spawner *spawner, const struct spawn_request *request,
		  int *ret_pidfd);

/*
 * Starts one of holdfast's own programs from the store (ROLE_SECRETS, ROLE_CTL) in SLOT_HELPER of
 * unit, with what store_grants names, input_fd and output_fd as its stdin and stdout (-EBADF:
 * /dev/null), the role's stream as its stderr and an empty environment. 0 or -errno.
 */
int spawn_helper(const struct spawner *spawner, uint32_t unit, enum role role, char *const argv[],
		 int input_fd, int output_fd, int *ret_pidfd);

/* After a unit's last process: removes its runtime directories (but those to keep), its private /tmp,
 * its credentials and its cgroup. What is not there is no error. */
void spawn_clean_up(const struct spawner *spawner, uint32_t unit);

/* "EXEC" for 203, …: the word for a status of 200 and more, or NULL. */
const char *spawn_status_name(int status);
