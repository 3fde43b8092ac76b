#pragma once
/*
 * What stands between the clone and the program. The steps run in the child, which may share the
 * supervisor's memory: they allocate nothing, take no lock, use no libc call that keeps state, and
 * write only to their stack, to struct child and to the buffers that it names. They see the values
 * of secrets only where the memory is a copy (child_needs_copy).
 *
 * Each step returns 0 or -errno; the first that fails ends the child with the step's status.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/spawner.h"

#define CHILD_SOCKETS_MAX 64
#define CHILD_PATH_MAX	  4096
#define CHILD_ARENA_SIZE  ((size_t)4 * 1024 * 1024)

#define STATUS_CREDENTIALS 243 /* systemd.exec(5): EXIT_CREDENTIALS */

struct child {
	const struct spawner *spawner;
	const struct spawn_request *request;
	const struct plan_unit *unit;
	const char *name; /* of the unit */
	char *arena;	  /* for argv and envp; CHILD_ARENA_SIZE bytes */
	const int *low;	  /* the spawner's, or those of a flight */
	bool is_flying;	  /* the supervisor does not stand still: see child_can_fly */

	char **argv, **envp;
	size_t n_argv, n_env, env_capacity;
	size_t arena_used;
	bool is_arena_full;
	char *listen_pid, *watchdog_pid; /* where the child writes its own pid; NULL: nowhere */
	int sockets[CHILD_SOCKETS_MAX];	 /* for LISTEN_FDS */
	uint32_t n_sockets;
	int secret_fds[CHILD_SOCKETS_MAX]; /* SECRET_FD, in the plan's order; -EBADF: none */
	uint32_t n_secret_fds;

	int cgroup_fd;
	bool is_in_cgroup; /* born there */
	bool shares_files; /* until child_run makes them its own */
	/* supervisor/confine_files.h: the unit's own, and what keeps the root's content. */
	struct child_ruleset {
		bool is_wanted;
		int fd;	       /* -EBADF: the child makes it */
		bool is_owned; /* by this spawn, which closes it */
	} files, content;
	int null_fd, output_fd, error_fd, event_fd, secret_fd, credentials_fd, environ_fd;
	bool drops_rights; /* ids, capabilities and no_new_privs are the unit's */

	/* The secrets as mapped, in the child alone. */
	const char *secrets;
	size_t secrets_size;

	/* What failed, for the event and the exit status. */
	int status;	    /* instead of the step's; 0: the step's */
	const char *detail; /* a path, or a sentence; may be NULL */
	char text[512];	    /* room for a detail */
	const char *failed; /* a child that flew: the step that failed, and with what */
	int failed_error, failed_status;
};

/* Whether the child does what must not show in the supervisor's memory: it reads values of secrets,
 * or an environment that may hold some. */
bool child_needs_copy(const struct spawner *spawner, const struct plan_unit *unit,
		      const struct spawn_request *request);

/*
 * Whether the child may run beside the supervisor, in the same memory and with the same thread
 * pointer. Then its steps make system calls that leave errno alone (lib/raw.h) and read no file: a
 * unit that needs more than that is waited for. Nor may it do what a process without vfork does to
 * all that share its memory (OOMScoreAdjust=: proc(5) is silent on it, fs/proc/base.c is not).
 */
bool child_can_fly(const struct spawner *spawner, const struct plan_unit *unit,
		   const struct spawn_request *request);
/* One event line about what failed in a child that flew. */
void child_tell(const struct child *child);

/* Fills argv, envp and sockets from plan and request into the spawner's arena. Runs in the
 * supervisor. 0, or -E2BIG when it does not fit. */
int command_prepare(struct child *child);
/* In the child: what only it may see or know (secrets, the inherited environment, its pid). */
int command_complete(struct child *child);
/* $NAME=number for a file descriptor; in the child. */
int command_add_fd(struct child *child, const char *name, int fd);

/* The child's main: a struct child. */
int child_run(void *child);

/* supervisor/confine.c */
int confine_cgroup(struct child *child);
int confine_oom_score(struct child *child);
int confine_nice(struct child *child);
int confine_limits(struct child *child);

/* supervisor/confine_mounts.c */
int confine_mounts(struct child *child);
/* What confine_mounts made below /tmp and /var/tmp; in the supervisor. */
void confine_remove_private(const struct spawner *spawner, uint32_t unit);
int confine_root(struct child *child);

/* supervisor/confine_files.c: after the mounts are made, before the root is changed */
int confine_files(struct child *child);

/* supervisor/confine_rights.c */
/* It has it already, or will have it by its unit: what the kernel asks of who gives itself a filter or a
 * domain without CAP_SYS_ADMIN. */
bool confine_has_no_new_privileges(const struct child *child);
/* The filter of who can only have it by CAP_SYS_ADMIN, and of all others. */
int confine_filter_early(struct child *child);
int confine_filter(struct child *child);
/* Of the supervisor itself: gives up what none of its children may come to have. */
void confine_all_bounding(struct spawner *spawner);
/* Takes the filter that denies nothing, where some child needs no other and we may: it is inherited. */
void confine_mark(struct spawner *spawner);
int confine_bounding(struct child *child);
int confine_groups(struct child *child);
int confine_user(struct child *child);
int confine_capabilities(struct child *child);
int confine_no_new_privileges(struct child *child);

/* supervisor/directory.c */
int directory_prepare(struct child *child);
/* Removes what is at path, itself too unless it must stay: never through a symbolic link, never
 * into another mount. 0 or -errno. */
int directory_remove(int dirfd, const char *path, bool keeps_itself);

/* supervisor/template.c: renders one template of the unit into its directory. */
int template_write(struct child *child, int dirfd, const struct plan_template *template);

/* supervisor/credentials.c */
/* The unit's user and mode for a file or directory of its credentials. */
int credentials_own(const struct child *child, int fd, uint32_t mode);
int credentials_map(struct child *child);
int credentials_write(struct child *child);
int credentials_open_fds(struct child *child);
/* The main of a child that does nothing else: a struct child. Its exit status. */
int credentials_deliver(void *child);
void credentials_remove(const struct spawner *spawner, uint32_t unit);
