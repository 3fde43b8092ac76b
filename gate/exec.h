#pragma once
/*
 * The exec gate: nothing is executed on the mounts that are marked before this process has said yes.
 *
 * The group of marks (fanotify(7)) is boot's to make and PID 1's to keep. As long as anybody holds its
 * fd an execution waits for an answer; so while this process is dead they wait, and none gets by.
 */
#include <stdint.h>

#include "gate/gate.h"
#include "gate/judge.h"
#include "gate/mounts.h"
#include "lib/gateboard.h"

struct exec_gate {
	struct gate *gate;
	int group;		   /* to wait for with POLLIN; -EBADF: there is no gate here */
	int mounts_fd;		   /* to wait for with POLLPRI; -EBADF: likewise */
	const struct judge *judge; /* NULL on a host, where nobody comes from outside */
	struct mounts mounts;
	struct {
		uint64_t id; /* never used again: 0 is none */
		struct mounts_spot spot;
	} visited[64]; /* mounts of services' own namespaces. A ring */
	uint32_t n_visited;
	uint32_t tokens; /* lines about refusals that may be said now */
	uint32_t unsaid; /* refusals without one, since the last */
	uint64_t token_us;
};

/*
 * Takes the place of whoever was here before: what that one had read and not answered is refused, as
 * nobody can tell any more what it was; then all mounts are marked, and the rung is written. Without a
 * gate it says why. gate and judge are borrowed. 0 or -errno: nobody can be judged, the mounts cannot be read or
 * the root cannot be marked.
 */
int exec_start(struct exec_gate *exec, struct gate *gate, const struct judge *judge);
void exec_take_mounts(struct exec_gate *exec);
/* Answers one question, if there is one. Never blocks, but for what /proc and the file itself ask. True
 * when somebody asked whom nobody here started. */
bool exec_take_question(struct exec_gate *exec);
