#pragma once
/*
 * The stages of killing, and when they have nothing left to do.
 */
#include "supervisor/manager.h"

/* Sends the signals of the record's state. The event that ends it at once, or NO_EVENT. */
int stop_begin(struct manager *manager, uint32_t unit, struct board_unit *record);
/* The event of a killing stage that finds nothing left to kill, or NO_EVENT. */
int stop_when_empty(struct manager *manager, uint32_t unit, struct board_unit *record);
/* How a unit ends of which no process is left. */
enum unit_event stop_end_event(struct manager *manager, uint32_t unit, struct board_unit *record);
