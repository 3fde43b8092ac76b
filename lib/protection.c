#include "lib/protection.h"

static struct protection of_plan(const struct plan *plan, uint32_t i)
{
	const struct plan_protection *protection = plan_protection(plan, i);

	return (struct protection){
		.level = protection->level,
		.name = plan_string(plan, protection->name),
		.rung = plan_string(plan, protection->rung),
		.why = plan_string(plan, protection->why),
	};
}

bool protection_next(struct protection_list *list, struct protection *ret_protection)
{
	uint32_t n_plan = plan_section_count(list->plan, PLAN_PROTECTIONS), i = list->next;

	if (i < n_plan) {
		*ret_protection = of_plan(list->plan, i);
	} else if (list->gate && i - n_plan < GATE_HALF_COUNT) {
		list->rung = gateboard_read_rung(list->gate, i - n_plan);
		*ret_protection = (struct protection){
			.level = list->rung.level,
			.name = gate_half_names[i - n_plan],
			.rung = list->rung.rung,
			.why = list->rung.why,
			.is_of_gate = true,
		};
	} else {
		return false;
	}
	list->next++;
	return true;
}
