#pragma once
/*
 * The fetch that a unit's start waits for (state FETCHING), and the record that it shares with the
 * life of secrets beside the running unit (life.h).
 */
#include "supervisor/manager.h"

#define SECRETS_RUN_MS	 30000U /* of a run beside a running unit; it retries by itself, too */
#define SECRETS_GRACE_US (2 * USEC_PER_SEC) /* beyond its deadline a helper is killed */

/* FETCHING: begins, goes on waiting, or finds that all is there. The event that ends it, or
 * NO_EVENT. */
int secrets_begin(struct manager *manager, uint32_t unit, struct board_unit *record);
/* The helper of FETCHING has ended. The same. */
int secrets_fetched(struct manager *manager, const struct journal_entry *entry,
		    struct board_unit *record);
/* FETCHING is over its time: why, for the record. */
void secrets_timed_out(struct manager *manager, uint32_t unit, struct board_unit *record);

bool secrets_has_any(const struct manager *manager, uint32_t unit);
/* The record in force, to be changed and published; of a unit that has secrets. */
struct board_life secrets_life(const struct manager *manager, uint32_t unit);
void secrets_publish(struct manager *manager, uint32_t unit, const struct board_life *life);

/* What is left until deadline_us, at least 1. */
uint32_t secrets_left_ms(uint64_t now, uint64_t deadline_us);
