#pragma once
/*
 * The life of secrets beside the running unit, without touching its state: looks for changes,
 * renewals, the end of a lease, delivery of what has changed, and giving back what was lent.
 */
#include "lib/str.h"
#include "supervisor/manager.h"

/* What ran in SLOT_REFRESH has ended; before the unit's record is published. */
void life_ended(struct manager *manager, const struct journal_entry *entry);

/* Something around the unit has changed, or it was adopted: what is to be looked at, and when. */
void life_update(struct manager *manager, uint32_t unit);
/* At that time. */
void life_check_time(struct manager *manager, uint32_t unit, uint64_t now);

/* Everything is down: gives back what was lent, for as long as deadline_us allows. True when there is
 * nothing left to wait for. */
bool life_revoke_all(struct manager *manager, uint64_t deadline_us);

/* Adds the sentence's end about the first secret that the unit could not have, if one is known. */
void life_say_cause(const struct manager *manager, uint32_t unit, struct strbuf *buf);
