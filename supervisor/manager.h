#pragma once
/*
 * What the supervisor knows, and the two rules by which everything in this folder changes it: they
 * make it safe to kill at any instruction.
 *
 *   Publish, then act. A record is written to the board before its effect is set off; the effects
 *   can be told from the record and the slots (a command whose slot is empty and whose exit was not
 *   applied was never spawned; a signal may be sent again). Nothing that must survive is kept in
 *   private memory: struct unit_runtime below can be rebuilt from the board.
 *
 *   Goals, not jobs. What one unit's change means for others is not sent to them: each unit is
 *   looked at again (reconcile.c) and derives what to do from the states that it sees. A successor
 *   looks at all of them once and is where its predecessor was.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/board.h"
#include "lib/fingerprint.h"
#include "lib/journal.h"
#include "lib/plan.h"
#include "lib/store.h"
#include "supervisor/spawner.h"
#include "supervisor/unit.h"

/* What a unit has beside its record; private, and made again by adoption. */
struct unit_runtime {
	int pidfd[SLOT_COUNT]; /* of the process in the slot, or -EBADF */
	/* What was fetched for it, what its helper remembers and what it reports, or -EBADF; PID 1's
	 * store has them too. */
	int secret_fds[2], state_fd, report_fd;
	uint64_t secrets_due_us; /* when secrets.c has to look; USEC_INFINITY */
	uint64_t services;	 /* that its secrets are asked of: bits of turns.c */
	bool waits_for_turn;	 /* too many helpers run: it looks when one has ended */
	uint64_t due_us;	 /* when something is to be looked at: the earliest of the record's
				  deadlines and retry_us */
	uint64_t
		retry_us; /* a look at what gives no event (a pid file, leftovers); else infinite */
	uint64_t deaf_until_us; /* a socket unit's: what waits at its sockets is left to wait */
	bool is_dirty;		/* stands in the queue */
	bool is_watched;	/* its sockets are in the poll set */
	bool is_being_wanted;	/* goal_want() is at what it needs: a loop ends here */
};

struct manager {
	struct plan plan;
	struct board board;
	struct journal *journal;
	const struct store_table *store;
	struct fingerprints fingerprints; /* header is NULL where no unit has secrets */
	struct spawner spawner;
	uint32_t n_units;
	struct unit_runtime *runtime;
	uint32_t *queue; /* of dirty units, a ring of n_units */
	uint32_t queue_head, queue_count;
	int channel, event_phase, poll_fd;
	struct probes *probes;	/* supervisor/probe.h */
	bool must_stop_looking; /* the instance is over */
	bool is_over; /* a unit has ended whose end ends the instance: nothing more is started */
};

/* Looks everything up in the store and maps it. 0 or -errno. */
int manager_init(struct manager *manager, const struct store_table *store);

/* What secrets are found by in text of services; NULL: there are none. */
const struct fingerprints *manager_fingerprints(const struct manager *manager);

/* Publishes a change of the record that is no change of state. */
void manager_publish(struct manager *manager, uint32_t unit, const struct board_unit *record);

/* Brings due_us up to date, and with it a look in a few milliseconds. */
void manager_update_due(struct manager *manager, uint32_t unit);
void manager_retry_soon(struct manager *manager, uint32_t unit);

/* The unit, or the unit and all that may derive something from its state, is to be looked at. */
void manager_mark(struct manager *manager, uint32_t unit);
void manager_mark_around(struct manager *manager, uint32_t unit);

/* The values of the unit's secrets that hold, borrowed, or -EBADF. */
int manager_secret_fd(const struct manager *manager, uint32_t unit);

/* Pid of the slot, or 0. */
int32_t manager_pid(const struct manager *manager, uint32_t unit, enum board_slot slot);

/* The end of the stop budget as far as units may use it; USEC_INFINITY before a stop was asked for. */
uint64_t manager_stop_deadline(const struct manager *manager);
/* Units are being stopped for good. */
bool manager_is_stopping(const struct manager *manager);
