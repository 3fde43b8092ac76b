/*
 * Units that will not be started in this instance, whatever comes: what a condition of theirs asks does
 * not change while it lives (a container, a virtual machine, another architecture), so the plan has the
 * answer, and nothing has to be prepared for them. Conditions on paths are looked at when a unit is
 * started, and say nothing here.
 */
#include "init/boot/boot.h"
#include "lib/str.h"

/* The conditions, or the assertions, of which those with "|" hold together when one of them does. */
static bool are_unmet(const struct plan *plan, struct plan_range range, uint32_t want)
{
	bool has_trigger = false, may_trigger = false;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_condition *c = plan_condition(plan, range.first + i);
		if ((c->flags & CONDITION_ASSERT) != want)
			continue;
		bool is_known = c->type == CONDITION_CONSTANT;
		bool is_true = str_equal(plan_string(plan, c->parameter), "yes") !=
			       !!(c->flags & CONDITION_NEGATE);
		if (c->flags & CONDITION_TRIGGER) {
			has_trigger = true;
			may_trigger |= !is_known || is_true;
		} else if (is_known && !is_true) {
			return true;
		}
	}
	return has_trigger && !may_trigger;
}

bool boot_skips(const struct boot *boot, uint32_t unit)
{
	struct plan_range range = plan_unit(&boot->plan, unit)->conditions;

	return are_unmet(&boot->plan, range, 0) || are_unmet(&boot->plan, range, CONDITION_ASSERT);
}
