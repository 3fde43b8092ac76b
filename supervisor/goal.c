#include "supervisor/goal.h"

#include "lib/cleanup.h"
#include "lib/crash.h"

static void set_goal(struct manager *m, uint32_t unit, enum unit_goal goal)
{
	struct board_unit record = *board_peek_unit(&m->board, unit);

	record.goal = goal;
	if (goal == GOAL_UP)
		record.flags &= ~BOARD_UNIT_SETTLED;
	manager_publish(m, unit, &record);
	CRASH_POINT("goal-set");
	manager_mark_around(m, unit);
}

void goal_for_each(struct manager *m, uint32_t unit, enum unit_relation relation,
		   void (*act)(struct manager *m, uint32_t other))
{
	struct plan_list list = plan_unit(&m->plan, unit)->relations[relation];

	for (uint32_t i = 0; i < list.count; i++)
		act(m, plan_list_get(&m->plan, list, i));
}

void goal_want(struct manager *m, uint32_t unit)
{
	static const enum unit_relation pulls[] = {REL_REQUIRES, REL_WANTS, REL_BINDS_TO};

	const struct board_unit *record = board_peek_unit(&m->board, unit);
	if (m->runtime[unit].is_being_wanted ||
	    (record->goal == GOAL_UP && !(record->flags & BOARD_UNIT_SETTLED)))
		return;
	m->runtime[unit].is_being_wanted = true;
	for (size_t i = 0; i < ARRAY_COUNT(pulls); i++)
		goal_for_each(m, unit, pulls[i], goal_want);
	goal_for_each(m, unit, REL_CONFLICTS, goal_unwant);
	goal_for_each(m, unit, REL_CONFLICTED_BY, goal_unwant);
	/* Last: a goal that stands on the board says that all which it brings with it does too. */
	set_goal(m, unit, GOAL_UP);
	m->runtime[unit].is_being_wanted = false;
}

void goal_unwant(struct manager *m, uint32_t unit)
{
	if (board_peek_unit(&m->board, unit)->goal != GOAL_DOWN)
		set_goal(m, unit, GOAL_DOWN);
}
