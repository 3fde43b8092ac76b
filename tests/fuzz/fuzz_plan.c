/* TESTS: lib/plan.c */
/*
 * A plan from hostile bytes: what plan_open lets pass can be walked to its last entry without
 * leaving the block (which lies in memory of exactly its size, so that a step outside is seen).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t sum;

static void touch(const struct plan *plan, plan_str s)
{
	sum += strlen(plan_string(plan, s));
}

static void touch_list(const struct plan *plan, struct plan_list list, bool is_strings)
{
	for (uint32_t i = 0; i < list.count; i++) {
		uint32_t value = plan_list_get(plan, list, i);
		sum += value;
		/* Lists may share their entries, so that a small block can mean a long walk. */
		if (is_strings && i < 64)
			touch(plan, value);
	}
}

static void touch_execs(const struct plan *plan, struct plan_range range)
{
	for (uint32_t i = 0; i < range.count && i < 64; i++) {
		const struct plan_exec *exec = plan_exec(plan, range.first + i);
		touch(plan, exec->path);
		touch_list(plan, exec->argv, true);
	}
}

static void touch_unit(const struct plan *plan, const struct plan_unit *unit)
{
	touch(plan, unit->name);
	touch(plan, unit->description);
	touch(plan, unit->working_directory);
	touch_list(plan, unit->environment, true);
	touch_list(plan, unit->groups, false);
	for (int i = 0; i < UNIT_RELATION_COUNT; i++) {
		for (uint32_t j = 0; j < unit->relations[i].count && j < 64; j++)
			touch(plan,
			      plan_unit(plan, plan_list_get(plan, unit->relations[i], j))->name);
	}
	for (int i = 0; i < EXEC_PHASE_COUNT; i++)
		touch_execs(plan, unit->exec[i]);
	for (enum probe_kind kind = 0; kind < PROBE_KIND_COUNT && unit->probes.count < 64; kind++) {
		const struct plan_probe *probe = plan_unit_probe(plan, unit, kind);
		touch(plan, probe->target);
		touch_execs(plan, probe->exec);
	}
	for (uint32_t i = 0; i < unit->limits.count && i < 64; i++)
		(void)plan_limit(plan, unit->limits.first + i)->soft;
	(void)plan_status_has(&plan_unit_statuses(plan, unit)->success, CLD_EXITED, 1);
	for (uint32_t i = 0; i < unit->secrets.count; i++)
		touch(plan, plan_secret(plan, unit->secrets.first + i)->reference);
	for (uint32_t i = 0; i < unit->conditions.count; i++)
		touch(plan, plan_condition(plan, unit->conditions.first + i)->parameter);
	for (uint32_t i = 0; i < unit->directories.count; i++)
		touch(plan, plan_directory(plan, unit->directories.first + i)->path);
	for (uint32_t i = 0; i < unit->scratch.count; i++)
		touch(plan, plan_scratch(plan, unit->scratch.first + i)->path);
	touch(plan, 0);
	sum += strlen(unit_kind_names[unit->kind]) + strlen(service_type_names[unit->type]) +
	       strlen(restart_policy_names[unit->restart]) +
	       strlen(kill_mode_names[unit->kill_mode]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *block = malloc(size ? size : 1);
	struct plan plan;

	if (!block)
		return 0;
	memcpy(block, data, size);
	if (plan_open(block, size, &plan) == 0) {
		for (uint32_t i = 0; i < plan_unit_count(&plan) && i < 16; i++)
			touch_unit(&plan, plan_unit(&plan, i));
		for (uint32_t i = 0; i < plan_section_count(&plan, PLAN_SOCKETS); i++) {
			touch(&plan, plan_socket(&plan, i)->address);
			sum += plan_unit(&plan, plan_socket(&plan, i)->unit)->kind;
		}
		for (uint32_t i = 0; i < plan_section_count(&plan, PLAN_PROTECTIONS); i++)
			touch(&plan, plan_protection(&plan, i)->why);
	}
	free(block);
	return 0;
}
