#pragma once
/*
 * How far a unit's processes are held in: [X-Holdfast] Sandbox= and SandboxAllow=, and what follows
 * from where its file lies and from its other keys.
 */
#include "units/unit.h"

/* What follows from the unit's files alone; after its user is known. */
void sandbox_settle(struct unit *unit);

/* What follows from where we are: which calls are denied, and whether each process of the unit is
 * marked. Into *plan, a copy of the unit's. */
void sandbox_complete(const struct units_facts *facts, const struct unit *unit,
		      struct plan_unit *plan);

/* "CAP_CHOWN", …: what root keeps in a strict sandbox when its unit names no set of its own. */
extern const uint64_t sandbox_root_capabilities;
