#include "gate/visits.h"

#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/proc.h"
#include "lib/str.h"

#define SETTLE_US (200 * USEC_PER_MSEC)

/* As init/boot/room.c calls them. */
static bool is_bare(const char *rung)
{
	return str_equal(rung, "empty room") || str_equal(rung, "stripped room");
}

void visits_open(struct visits *visits, struct gate *gate)
{
	const struct plan *plan = &gate->plan;

	*visits = (struct visits){.gate = gate};
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_PROTECTIONS); i++) {
		const struct plan_protection *protection = plan_protection(plan, i);
		if (str_equal(plan_string(plan, protection->name), "room"))
			visits->is_room_bare = is_bare(plan_string(plan, protection->rung));
	}
}

static void tell(const struct visits *visits, int32_t pid, const char *name, const char *event,
		 const char *text)
{
	struct gate_refusal refusal = {
		.wall_us = clock_wall_us(),
		.counter = GATE_TURNED_AWAY,
		.pid = pid,
	};

	if (pid > 0)
		(void)proc_read_uid(visits->gate->proc_fd, pid, &refusal.uid);
	(void)str_copy(refusal.exe, sizeof(refusal.exe), name);
	gateboard_write_refusal(visits->gate->record, &refusal);
	event_with_i64("pid", pid);
	event_with_string("name", name);
	event_emit(EVENT_WARNING, event, NULL, "%s", text);
}

/* The stub waits a moment to be seen. */
void visits_note(struct visits *visits, const struct judge_result *result)
{
	visits->seen_us = clock_now_us();
	if (result->is_stub)
		tell(visits, result->stat.pid, result->stat.name, "shell-refused",
		     "somebody from outside asked for a program that is not here");
}

void visits_note_intruder(struct visits *visits, uint64_t now_us)
{
	visits->seen_us = now_us;
}

/* A runtime that finds nothing is gone in less time than one look takes. */
uint64_t visits_settle(struct visits *visits, uint64_t entered_us, uint64_t now_us)
{
	uint64_t before_us = visits->settled_us;

	if (!visits->is_room_bare || entered_us <= before_us)
		return 0;
	if (now_us - entered_us < SETTLE_US)
		return entered_us + SETTLE_US;
	visits->settled_us = now_us;
	if (visits->seen_us <= before_us)
		tell(visits, 0, "?", "entry-refused",
		     "somebody came in from outside and found nothing to execute");
	return 0;
}
