#pragma once
/*
 * What health knows: the public plan, the board, the journal and, where it can be read, the ring's
 * header; and the one judgement that every endpoint shares, whether the instance is ready.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/board.h"
#include "lib/journal.h"
#include "lib/plan.h"
#include "lib/protection.h"
#include "lib/ring.h"

/* draft-inadarei-api-health-check's words. */
enum health_status { HEALTH_PASS, HEALTH_WARN, HEALTH_FAIL, HEALTH_STATUS_COUNT };
extern const char *const health_status_names[HEALTH_STATUS_COUNT];

struct snapshot {
	struct plan plan;
	struct board board;
	const struct journal *journal;
	const struct gateboard *gate; /* NULL: there is none */
	int ring_fd;		      /* -EBADF: the ring cannot be read here */
	struct ring ring;	      /* header NULL until log has made it */
	struct verdict {
		bool is_valid;
		uint64_t changes, hour; /* of the board and of time that this is the verdict on */
		bool is_started, is_stopping, are_units_up;
		enum health_status status;
	} verdict;
};

/* When any of it differs, an answer that was rendered before is out of date. */
struct snapshot_key {
	uint64_t changes, journal_head, deaths;
	uint64_t refusals; /* by the gate, and what it said of its means */
	uint64_t hour;	   /* certificates end without a change of the board */
	uint64_t log_seq, log_emitted, log_dropped;
};

/* Startup was completed, a stop was asked for, and both together with the units: ready. */
bool snapshot_is_started(const struct board_manager *manager);
bool snapshot_is_stopping(const struct board_manager *manager);
bool snapshot_is_ready(struct snapshot *snapshot);

/* The verdict on the board as it is now; computed when the board has changed since. */
const struct verdict *snapshot_verdict(struct snapshot *snapshot);

/* Whether readiness asks for this unit, and whether it is as it should be. */
bool snapshot_counts(const struct plan_unit *unit);
bool snapshot_is_up(const struct plan_unit *unit, const struct board_unit *state);
enum health_status snapshot_judge(const struct board_manager *manager, const struct plan_unit *unit,
				  const struct board_unit *state);
/* A protection that is not had at all is a warning; a lower rung is only told. Of the gate's two halves
 * one does where the other has no means. */
enum health_status snapshot_judge_protection(const struct snapshot *snapshot,
					     const struct protection *protection);

/* All that are to be told of here: below a subreaper nothing of the gate's can be. */
struct protection_list snapshot_protections(const struct snapshot *snapshot);

/* The secrets of a unit that has some: a warning when its values are older than what is known, could
 * not be looked at, or hold a certificate that ends within a week. Never a failure. */
enum health_status snapshot_judge_secrets(const struct snapshot *snapshot, uint32_t unit,
					  const char **ret_why);

/* The ring, or NULL while there is none. */
const struct ring *snapshot_ring(struct snapshot *snapshot);

struct snapshot_key snapshot_key(struct snapshot *snapshot);
uint64_t snapshot_deaths(const struct snapshot *snapshot);
