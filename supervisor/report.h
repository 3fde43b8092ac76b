#pragma once
/*
 * From a helper's report to the board, and the times that follow from it.
 */
#include "lib/journal.h"
#include "lib/secretreport.h"
#include "supervisor/manager.h"

#define REPORT_STATUS_TEMPORARY	  75
#define REPORT_STATUS_UNREACHABLE 69
#define REPORT_STATUS_INTERNAL	  70
#define REPORT_BACKOFF_US	  (60 * USEC_PER_SEC) /* at most, beside a unit that has its values */

/* Uniform in [0, below). Jitter, not a secret. */
uint64_t report_random(uint64_t below);

/* Full jitter: anything up to a bound that doubles up to most, but not before what the service asked
 * for. In microseconds. */
uint64_t report_backoff(uint32_t attempts, uint64_t most, uint32_t retry_ms);

/* The report of the run that has ended, or one without items that says how it ended. */
void report_read(const struct manager *manager, const struct journal_entry *entry,
		 struct secretreport *report);
/* What it says of each secret of the unit, onto the board. */
void report_publish(struct manager *manager, uint32_t unit, const struct secretreport *report);
/* What it means for the life, which the caller publishes. */
void report_note(const struct manager *manager, uint32_t unit, struct board_life *life,
		 const struct secretreport *report, uint64_t now);
