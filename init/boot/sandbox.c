/*
 * How far the services are held in, of which the plan has each one's part (units/sandbox.c).
 */
#include <stdio.h>

#include "init/boot/boot.h"
#include "lib/str.h"

#define NAMED_MAX 3 /* units that the reason names */

struct count {
	uint32_t all, by_sandbox[UNIT_SANDBOX_COUNT], marked;
};

static bool runs_something(const struct plan_unit *unit)
{
	for (int phase = 0; phase < EXEC_PHASE_COUNT; phase++) {
		if (unit->exec[phase].count > 0)
			return true;
	}
	return false;
}

static void look_at(const struct plan *plan, struct count *count, struct strbuf *names)
{
	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		const struct plan_unit *unit = plan_unit(plan, i);
		if (unit->kind != UNIT_SERVICE || !runs_something(unit))
			continue;
		count->all++;
		count->by_sandbox[unit->sandbox]++;
		if (unit->flags & UNIT_IS_MARKED) {
			count->marked++;
			continue;
		}
		uint32_t n = count->all - count->marked;
		if (n <= NAMED_MAX)
			strbuf_addf(names, "%s%.64s", n > 1 ? ", " : "", plan_unit_name(plan, i));
		else if (n == NAMED_MAX + 1)
			strbuf_adds(names, ", …");
	}
}

static void render_rung(const struct count *count, struct strbuf *rung)
{
	for (uint32_t i = 0; i < UNIT_SANDBOX_COUNT; i++) {
		if (count->by_sandbox[i] > 0)
			strbuf_addf(rung, "%s%s %u", rung->length ? ", " : "",
				    unit_sandbox_names[i], count->by_sandbox[i]);
	}
	if (count->all > 0)
		strbuf_addf(rung, "; with a filter %u of %u", count->marked, count->all);
	else
		strbuf_adds(rung, "no services");
}

int sandbox_report(struct boot *boot)
{
	struct count count = {0};
	char rung_text[96], names_text[256];
	struct strbuf rung, names;

	strbuf_init(&rung, rung_text, sizeof(rung_text));
	strbuf_init(&names, names_text, sizeof(names_text));
	look_at(&boot->plan, &count, &names);
	render_rung(&count, &rung);
	if (count.marked == count.all)
		boot_protect(boot, "services", PROTECTION_FULL, rung_text, "%s", "");
	else if (!boot->has_filters)
		boot_protect(boot, "services", PROTECTION_NONE, rung_text,
			     "the kernel, or the runtime, has no filters for system calls");
	else
		boot_protect(boot, "services", PROTECTION_REDUCED, rung_text,
			     "without CAP_SYS_ADMIN only NoNewPrivileges=yes allows one: %s",
			     names_text);
	return 0;
}
