#pragma once
/*
 * Starting one process of a unit: clone3 as PID 1's child with the pid written by the kernel into
 * the board's slot, then, in the child, everything that stands between the fork and the program.
 */
#include "supervisor/spawner.h"

/* Looks up and keeps what every spawn needs. After it the caller changes neither its signal
 * dispositions nor ids, umask, limits or working directory. 0 or -errno. */
int spawn_init(struct spawner *spawner, const struct plan *plan, const struct store_table *store,
	       struct board *board);

/*
 * Starts it, and returns when the program runs or its set-up has failed: CLONE_VFORK, so Type=exec
 * costs nothing. A request that may fly returns before that where its unit asks for little; then a
 * thousand services start on all processors there are, and not one after the other. 0 with the slot
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

/* Waits until each child that flew runs its program or has failed, and says so. */
void spawn_land(const struct spawner *spawner);

/* One of holdfast's own programs. */
struct spawn_help {
	uint32_t unit;
	enum board_slot slot;
	enum role role;
	char *const *argv;	 /* NULL: the program's name alone */
	int input_fd, output_fd; /* its stdin and stdout; -EBADF: /dev/null */
	const int *passed;	 /* inherited by their numbers beside what store_grants names */
	uint32_t n_passed;
};

/* Starts it from the store in its slot, with what its role is granted and is passed, the role's stream
 * as its stderr and an empty environment. 0 or -errno. */
int spawn_helper(const struct spawner *spawner, const struct spawn_help *help, int *ret_pidfd);

/* In SLOT_REFRESH a child that puts the values in secret_fd into the unit's credentials directory, as
 * the first command of an activation would, and ends with 0 or 243. 0 or -errno. */
int spawn_delivery(const struct spawner *spawner, uint32_t unit, int secret_fd, int *ret_pidfd);

/* After a unit's last process: removes its runtime directories (but those to keep), its private /tmp,
 * its credentials and its cgroup. What is not there is no error. */
void spawn_clean_up(const struct spawner *spawner, uint32_t unit);
