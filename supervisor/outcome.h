#pragma once
/*
 * Pure decisions about ends: was that a success, is the unit to be started again, and with what
 * status does the instance end. systemd.service(5) is the source of each rule unless it says so.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/board.h"
#include "lib/plan.h"

/* What the end {code, status} (waitid(2)) of the main process means. */
enum unit_result outcome_of_exit(const struct plan_unit *unit, const struct plan_statuses *statuses,
				 int code, int status);

/* The result of the end of a command that is not the main process: SIGTERM and its like are no
 * success there. */
enum unit_result outcome_of_command(int code, int status);

/* Whether Restart= and its exceptions ask for another start after this run. */
bool outcome_wants_restart(const struct plan_unit *unit, const struct plan_statuses *statuses,
			   const struct board_unit *state);

/* How long to wait before it, from how often it was restarted: doubling where RestartMaxDelaySec=
 * is set. Microseconds. */
uint64_t outcome_restart_delay(const struct plan_unit *unit, uint32_t restarts);

/* Counts one more start and says whether StartLimitBurst= in StartLimitIntervalSec= forbids it. */
bool outcome_start_allowed(const struct plan_unit *unit, struct board_unit *state, uint64_t now_us);

/* What the end of the unit, for good, means for the instance; ACTION_NONE: nothing, or it has not ended. */
enum unit_action outcome_ends_instance(const struct plan_unit *unit,
				       const struct board_unit *state);

/* The status that the instance exits with when this unit's end is its cause. */
int outcome_instance_status(const struct plan_header *header, const struct plan_unit *unit,
			    const struct board_unit *state);
