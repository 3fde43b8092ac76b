#pragma once
/*
 * What is done about those whom a look found: each is pinned (pidfd) and judged once more, then killed, or
 * reported where the instance is lenient; an event and the record say so. All of one look are found before
 * the first is killed, while children still have their parents.
 */
#include <stdbool.h>
#include <stdint.h>

#include "gate/gate.h"
#include "gate/judge.h"
#include "gate/look.h"
#include "gate/visits.h"

struct refuser {
	struct gate *gate;
	struct judge *judge;
	struct visits *visits; /* is told of intruders */
	/* Who runs: forks and ends, over and over, each of them too young to be judged. */
	uint64_t vanished_since_us; /* since then look.n_vanished counts */
	uint64_t pursued_since_us;  /* while the judge pursues */
};

/* All whom the look found. False: one of them cannot be killed. */
bool refuse_all(const struct refuser *refuser, struct look *look);

/* After each look: whether the judge is to pursue. False: it has been in vain. */
bool refuse_pursue(struct refuser *refuser, struct look *look, uint64_t now_us);
