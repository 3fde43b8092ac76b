#pragma once
/*
 * What the states do: the commands of a phase, one after another, the fetch, and (stop.h) the
 * stages of killing. Each of these begins something and returns the event that ends the state at
 * once, or that something is waited for; none of them moves the unit itself.
 */
#include "supervisor/manager.h"

/* Begins the work of the record's state. The event that ends it at once, or NO_EVENT. */
int work_begin(struct manager *manager, uint32_t unit, struct board_unit *record);

/* Whether the unit's drain takes any time. */
bool work_is_drained(const struct manager *manager, uint32_t unit);

/* The command that the record stands at, or NULL. */
const struct plan_exec *work_current_command(const struct manager *manager, uint32_t unit,
					     const struct board_unit *record);

/* Where the state's commands run: a forking service's first process is not its main process. */
enum board_slot work_slot(const struct manager *manager, uint32_t unit, enum unit_state state);

/* The event that ends START once its main process was spawned, or NO_EVENT where that is still
 * awaited. */
int work_after_spawn(const struct manager *manager, uint32_t unit, const struct board_unit *record);

/* What ends the state when its last command has ended well. */
int work_after_commands(const struct manager *manager, uint32_t unit,
			const struct board_unit *record);

/* Notes why the run failed, unless something before it did. */
void work_fail(struct board_unit *record, enum unit_result result);

/* $EXIT_CODE for a CLD_… value. */
const char *work_exit_word(int code);
