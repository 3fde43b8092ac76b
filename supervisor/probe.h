#pragma once
/*
 * Probes: [X-Startup], [X-Liveness] and [X-Readiness] with Kubernetes' meaning. A startup probe
 * holds the other two back until it has passed once; liveness failing is a failure of the service
 * (Restart= says what follows); readiness decides BOARD_UNIT_READY, which /readyz asks for.
 *
 * They never block: a question is a non-blocking socket in the poll set, or a process in
 * SLOT_SPARE. What a successor must know (has it started, is it ready) stands on the board; the
 * counts towards a threshold begin anew with it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/journal.h"

struct manager;

/* epoll_data of a probe's socket: this bit and its number. */
#define PROBE_SOCKET (UINT64_C(1) << 33)

/* Makes a place for each probe of the plan. 0 or -ENOMEM. */
int probe_init(struct manager *manager);

/* The unit came up or went: its probes begin or are forgotten. */
void probe_update(struct manager *manager, uint32_t unit);

/* A probe's socket is ready: data as it stands in the poll set. */
void probe_ready(struct manager *manager, uint64_t data);

/* The process of an Exec= probe has ended. */
void probe_note_exit(struct manager *manager, const struct journal_entry *entry);

/* Questions that are due, and answers that are overdue; then the time of the next. */
void probe_check_time(struct manager *manager, uint64_t now_us);
uint64_t probe_next_due(const struct manager *manager);

/* Whether the unit has a startup probe that has not passed yet. */
bool probe_holds_startup(const struct manager *manager, uint32_t unit);
