#pragma once
/*
 * What all parts of a spawn share: what is the same for every one, and what differs.
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
	int low[9], low_end;
	bool has_close_range;

	/* What we are ourselves: a child changes only what differs from its unit. */
	uint64_t ignored;      /* signals, as in store_inherited */
	uint64_t capabilities; /* permitted */
	uint64_t inheritable, bounding;
	uint64_t nofile_soft, nofile_hard;
	uint32_t uid, gid, umask;
	bool is_at_root; /* our working directory is / */
	bool is_stdin_null;
	bool has_no_new_privs;	 /* whoever started holdfast has: all our children inherit it */
	bool has_filters;	 /* the kernel has seccomp's */
	bool are_refusals_heard; /* holdfast-gate hears what the kernel tells of theirs */
	bool is_marked;		 /* all our children have one: see UNIT_IS_MARKED */

	/* Memory for one spawn at a time: arguments and environment, and the child's stack. */
	char *arena, *stack;
	/* BOARD_FAILURE_MAX bytes that are shared even with a child that is a copy of us (which has
	 * no board): why it could not be set up. Empty before and after each spawn. */
	char *failure;
	struct rulesets *rulesets; /* supervisor/confine_files.c */
	struct flight *flights;	   /* for those that are not waited for */
	struct filters *filters;
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
	/* The caller need not know whether the program runs: the child may go on by itself. */
	bool may_fly;
	int secret_fd; /* what holdfast-secrets filled for this unit; -EBADF: none */
};
