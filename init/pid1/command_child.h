#pragma once
/*
 * Starting the command: the few steps between this process and the command's own first instruction.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum command_group {
	COMMAND_GROUP,	 /* a process group of its own, as tini does */
	COMMAND_SESSION, /* a session of its own, as dumb-init does with DUMB_INIT_SETSID=1 */
	COMMAND_NEITHER, /* as dumb-init does with DUMB_INIT_SETSID=0 */
};

struct command_child {
	char **argv; /* the two words before it ("holdfast", "--") are ours to overwrite */
	enum command_group group;
	int pdeath_signal;	 /* 0: none */
	uint64_t mask;		 /* signals that were blocked when holdfast was started */
	bool is_sigchld_ignored; /* likewise SIGCHLD */
	bool has_terminal;	 /* stdin is a terminal, and ours to hand over */
	/* Set by the child, which shares our memory until it has executed the command. */
	int exec_error;		     /* why it could not; 0: it could */
	bool is_interpreter_missing; /* with ENOENT: the file is there, what it needs is not */
};

/*
 * Starts it. Every signal that must not be missed is blocked already. The pid, or -errno when there
 * is no child. A child that could not execute the command leaves exec_error and ends by itself.
 */
pid_t command_child_start(struct command_child *child);

/* 127 or 126, as shells have it. */
int command_child_exec_status(int exec_error);
