#pragma once
/*
 * Moving a unit: the record with the new state is published, then the new state's work is begun,
 * and so on until the unit waits for something.
 */
#include "supervisor/manager.h"

/* *record is the caller's changed copy of the unit's record; it is published together with the new
 * state, so that both stand on the board or neither. */
void transition_advance(struct manager *manager, uint32_t unit, struct board_unit *record,
			enum unit_event event);

/* The same with the record as it stands. */
void transition_raise(struct manager *manager, uint32_t unit, enum unit_event event);

/* Begins the work of the state that the record shows, as after entering it; used by adoption. */
void transition_resume(struct manager *manager, uint32_t unit);
