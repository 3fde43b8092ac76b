#pragma once
/*
 * Who may start a secrets helper now. Remote helpers bring libraries and open connections, and a
 * service's quota is shared by all units of an account, so they take turns.
 *
 * Units are alike when they ask the same set of services (a scheme, and of an ARN the region). Of
 * those that are alike RUNS_ALIKE_MAX run at a time, first fetches by themselves and looks beside
 * running units by themselves. Nothing else is counted: so a service that does not answer, for which
 * a first fetch waits up to FetchTimeoutSec=, keeps nobody waiting but who needs it, whatever other
 * services those ask beside it; and no start keeps a lease from its renewal. What an instance may run
 * of helpers is bounded by the sets that its units name.
 */
#include <stdbool.h>
#include <stdint.h>

struct manager;

/* Once, with the plan in hand: what each unit asks. */
void turns_init(struct manager *manager);
/* A helper of the unit runs. */
bool turns_is_running(const struct manager *manager, uint32_t unit);
/* Whether one may be started now; else the unit is looked at when another has ended. */
bool turns_take(struct manager *manager, uint32_t unit);
/* A helper has ended: who waits looks again. */
void turns_give(struct manager *manager);
