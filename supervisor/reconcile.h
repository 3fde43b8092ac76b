#pragma once
/*
 * Goals, not jobs: each unit derives its next step from its own goal and state and from what it
 * sees of the units around it. Nothing is remembered between two looks, so a look is free to repeat
 * and a successor of a killed supervisor needs no queue to be handed over.
 */
#include "supervisor/manager.h"

/* Looks at every unit in the queue until it is empty. */
void reconcile_run(struct manager *manager);
