#pragma once
/*
 * What /proc tells of a process: /proc/PID/stat and the owner in /proc/PID/status (proc(5)); and whose
 * it is. None of it allocates. proc_fd is an open /proc.
 */
#include <stdbool.h>
#include <stdint.h>

struct proc_stat {
	char name[17]; /* as the process calls itself: any bytes */
	char state;
	int32_t pid, parent, session;
	uint32_t threads;
	uint64_t user_ticks, system_ticks; /* sysconf(_SC_CLK_TCK) of them a second */
	uint64_t start_ticks;		   /* since boot */
	uint64_t resident_pages;
	bool is_kernel;	   /* a thread of the kernel */
	bool has_executed; /* a program, since it was cloned */
};

/* The text of a stat file. 0 or -EBADMSG. */
int proc_parse_stat(const char *text, struct proc_stat *ret_stat);

/* 0 or -errno (-ENOENT, -ESRCH: it is gone; -EBADMSG: /proc says something unexpected). */
int proc_read_stat(int proc_fd, int32_t pid, struct proc_stat *ret_stat);

/* Its real uid. As proc_read_stat. */
int proc_read_uid(int proc_fd, int32_t pid, uint32_t *ret_uid);

/* Whether it shows the PID namespace that we are in, and whether that is the machine's first one
 * (namespaces(7)). 1, 0, or -errno where there is no /proc. proc_fd may be AT_FDCWD here: /proc. */
int proc_is_ours(int proc_fd);
int proc_is_first_namespace(int proc_fd);

/* Has ended, and waits for its parent or its own other threads. */
bool proc_is_dead(const struct proc_stat *stat);
