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

/* The report of the run that has ended, or one without items that says how it ended. */
void report_read(const struct manager *manager, const struct journal_entry *entry,
		 struct secretreport *report);
/* What it says of each secret of the unit, onto the board. */
void report_publish(struct manager *manager, uint32_t unit, const struct secretreport *report);
/* What it means for the life, which the caller publishes. */
void report_note(const struct manager *manager, uint32_t unit, struct board_life *life,
		 const struct secretreport *report, uint64_t now);
