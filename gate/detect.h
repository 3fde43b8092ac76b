#pragma once
/*
 * The detector: finds who got in, for where the exec gate cannot keep them out. It needs no privilege
 * but to kill.
 *
 * An idle instance costs it nothing: it waits for somebody to open a namespace of ours, a program or the
 * loader (inotify), and only then looks at the last pid that was given out, for as long as that moves.
 * What is new there is judged once (judge.h), and killed when nobody here started it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "gate/gate.h"
#include "gate/judge.h"
#include "gate/look.h"
#include "gate/refuse.h"
#include "gate/trigger.h"
#include "gate/visits.h"

struct detect {
	struct gate *gate;
	struct judge judge;
	struct look look;
	struct refuser refuser;
	struct triggers triggers;
	bool is_steady; /* there is nothing to wait for: it looks all the time */

	struct visits visits;

	uint64_t hot_since_us, hot_until_us; /* somebody comes: it looks often */
	uint64_t moving_until_us;	     /* something moved: it looks now and then */
	uint64_t step_us;		     /* of those looks, the last */
	bool is_hot;
	uint64_t next_us; /* when that is; USEC_INFINITY: not before a trigger */
};

/* Takes what it needs, and says by which means it works. True when it has something to do here. */
bool detect_open(struct detect *detect, struct gate *gate);

/* What to wait for now, beside next_us: an fd that becomes readable, or negative for none. */
int detect_wait_fd(const struct detect *detect, enum trigger trigger);

/* Looks: when it is time, or a trigger fired. False: somebody is inside whom it cannot kill. */
bool detect_turn(struct detect *detect);
