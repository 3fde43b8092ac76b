#pragma once
/*
 * One run of a secrets helper for one unit: a request on its stdin, the memory file that it fills as
 * its stdout, and beside them what it remembers (the remote one), what it reports, and the values
 * that hold now. All of these are made here and are in PID 1's store before the helper runs, so that
 * the supervisor's death loses nothing; values are never mapped or read here.
 */
#include <stdint.h>

#include "lib/board.h"
#include "lib/secretrequest.h"

struct manager;

struct fetch {
	uint32_t unit;
	enum secrets_operation operation;
	enum board_slot slot;
	uint32_t side; /* where the values go: board_life.side of the one that does not hold */
	uint32_t deadline_ms; /* by when the helper ends itself */
};

/* 0 with the helper in its slot, -EAGAIN when PID 1's channel is full (try again), or -errno. */
int fetch_begin(struct manager *manager, const struct fetch *fetch);

/* Which helper serves the unit: the remote one where a secret of it is remote. */
enum role fetch_role(const struct plan *plan, uint32_t unit);

/* The values of the side are not needed any more. Best effort: memory, not meaning. */
void fetch_drop(struct manager *manager, uint32_t unit, uint32_t side);
