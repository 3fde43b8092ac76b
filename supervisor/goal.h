#pragma once
/*
 * What is wanted of a unit. A goal spreads to what the unit needs when it is set; everything else
 * follows from states (reconcile.h).
 */
#include "supervisor/manager.h"

/* Wants the unit up, with what it requires and wants, and what it conflicts with down. */
void goal_want(struct manager *manager, uint32_t unit);
/* Wants it down. */
void goal_unwant(struct manager *manager, uint32_t unit);
/* Calls act for each unit of the relation. */
void goal_for_each(struct manager *manager, uint32_t unit, enum unit_relation relation,
		   void (*act)(struct manager *manager, uint32_t other));
