#pragma once
/*
 * Ends of processes, as PID 1 journalled them, and the one start that is seen by what it leaves
 * behind: a forking service's main process.
 */
#include "supervisor/manager.h"

/* Applies one exit from the journal, unless it was applied before. */
void exits_apply(struct manager *manager, const struct journal_entry *entry);

/* pid, which must be PID 1's child and no other unit's, is the unit's main process from now on. */
bool exits_adopt_pid(struct manager *manager, uint32_t unit, int32_t pid);

/* A forking service has started once its pid file names a child of PID 1; looked for now and, as it
 * gives no event, again and again until the start's deadline. */
void exits_wait_for_pid_file(struct manager *manager, uint32_t unit, struct board_unit *record);
