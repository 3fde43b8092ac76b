#include "supervisor/turns.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "supervisor/manager.h"

#define RUNS_ALIKE_MAX 4
#define SERVICES_MAX   64 /* bits; what is beyond shares the last one, and with it turns */

/* ---- what a unit asks */

/* Part of a reference in the plan. */
struct service {
	const char *name;
	size_t length;
};

/* What of a reference tells where its service is: the scheme, of an ARN the region. */
static struct service service_of(const char *reference)
{
	const char *end = strchr(reference, ':');
	int colons = end && str_starts(end, ":arn:") ? 4 : 0;

	while (end && colons-- > 0)
		end = strchr(end + 1, ':');
	return (struct service){reference, end ? (size_t)(end - reference) : strlen(reference)};
}

struct services {
	struct service known[SERVICES_MAX];
	uint32_t count;
};

static uint64_t bit_of(struct services *services, struct service service)
{
	for (uint32_t i = 0; i < services->count; i++) {
		const struct service *known = &services->known[i];
		if (known->length == service.length &&
		    memcmp(known->name, service.name, service.length) == 0)
			return UINT64_C(1) << i;
	}
	if (services->count < SERVICES_MAX)
		services->known[services->count++] = service;
	return UINT64_C(1) << (services->count - 1);
}

void turns_init(struct manager *m)
{
	struct services services = {.count = 0};

	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		struct plan_range range = plan_unit(&m->plan, unit)->secrets;
		for (uint32_t i = range.first; i < range.first + range.count; i++) {
			const struct plan_secret *secret = plan_secret(&m->plan, i);
			const char *reference = plan_string(&m->plan, secret->reference);
			if (secret->flags & SECRET_IS_REMOTE)
				m->runtime[unit].services |=
					bit_of(&services, service_of(reference));
		}
	}
}

/* ---- turns */

bool turns_is_running(const struct manager *m, uint32_t unit)
{
	return manager_pid(m, unit, SLOT_HELPER) > 0 || manager_pid(m, unit, SLOT_REFRESH) > 0;
}

static bool is_alike(const struct manager *m, uint32_t unit, uint32_t other, bool is_first)
{
	enum board_slot slot = is_first ? SLOT_HELPER : SLOT_REFRESH;

	return m->runtime[unit].services == m->runtime[other].services &&
	       manager_pid(m, other, slot) > 0;
}

bool turns_take(struct manager *m, uint32_t unit)
{
	bool is_first = board_peek_unit(&m->board, unit)->state == UNIT_FETCHING;
	/* Local helpers read files and are gone. */
	uint32_t n = 0, n_units = m->runtime[unit].services ? m->n_units : 0;

	for (uint32_t i = 0; i < n_units; i++)
		n += is_alike(m, unit, i, is_first);
	m->runtime[unit].waits_for_turn = n >= RUNS_ALIKE_MAX;
	return n < RUNS_ALIKE_MAX;
}

void turns_give(struct manager *m)
{
	for (uint32_t i = 0; i < m->n_units; i++) {
		if (!m->runtime[i].waits_for_turn)
			continue;
		m->runtime[i].waits_for_turn = false;
		if (board_peek_unit(&m->board, i)->state == UNIT_FETCHING)
			manager_retry_soon(m, i);
		else
			manager_mark(m, i);
	}
}
