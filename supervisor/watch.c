#include "supervisor/watch.h"

#include <sys/epoll.h>

#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "supervisor/goal.h"

#define DEAF_US (1 * USEC_PER_SEC)

static uint32_t triggered_by(const struct manager *m, uint32_t socket_unit)
{
	struct plan_list list = plan_unit(&m->plan, socket_unit)->relations[REL_TRIGGERS];

	return list.count > 0 ? plan_list_get(&m->plan, list, 0) : PLAN_NO_UNIT;
}

/* A socket is listened on while its unit is up, its service is down, and nobody has said that the
 * service shall stay down. */
static bool is_wanted(const struct manager *m, uint32_t socket_unit)
{
	uint32_t service = triggered_by(m, socket_unit);

	if (service == PLAN_NO_UNIT || board_peek_manager(&m->board)->stop_us != 0)
		return false;
	const struct board_unit *socket = board_peek_unit(&m->board, socket_unit);
	const struct board_unit *record = board_peek_unit(&m->board, service);
	return unit_is_up((enum unit_state)socket->state) && record->state == UNIT_INACTIVE &&
	       (record->goal == GOAL_DOWN || (record->flags & BOARD_UNIT_SETTLED));
}

static void set_polled(struct manager *m, uint32_t socket_unit, bool is_on)
{
	for (uint32_t i = 0; i < plan_section_count(&m->plan, PLAN_SOCKETS); i++) {
		if (plan_socket(&m->plan, i)->unit != socket_unit)
			continue;
		int fd = store_find(m->store, STORE_SOCKET, i);
		struct epoll_event event = {.events = EPOLLIN, .data.u64 = WATCH_SOCKET | i};
		if (fd >= 0)
			(void)epoll_ctl(m->poll_fd, is_on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd,
					&event);
	}
}

static bool is_deaf(struct manager *m, uint32_t socket_unit)
{
	struct unit_runtime *runtime = &m->runtime[socket_unit];

	if (runtime->deaf_until_us <= clock_now_us())
		return false;
	runtime->retry_us = runtime->deaf_until_us;
	manager_update_due(m, socket_unit);
	return true;
}

static void update_socket_unit(struct manager *m, uint32_t socket_unit)
{
	bool is_on = is_wanted(m, socket_unit) && !is_deaf(m, socket_unit);

	if (is_on == m->runtime[socket_unit].is_watched)
		return;
	m->runtime[socket_unit].is_watched = is_on;
	set_polled(m, socket_unit, is_on);
}

void watch_update(struct manager *m, uint32_t unit)
{
	const struct plan_unit *plan = plan_unit(&m->plan, unit);

	if (plan->kind == UNIT_SOCKET)
		update_socket_unit(m, unit);
	struct plan_list list = plan->relations[REL_TRIGGERED_BY];
	for (uint32_t i = 0; i < list.count; i++)
		update_socket_unit(m, plan_list_get(&m->plan, list, i));
}

void watch_pause(struct manager *m, uint32_t service)
{
	struct plan_list list = plan_unit(&m->plan, service)->relations[REL_TRIGGERED_BY];

	for (uint32_t i = 0; i < list.count; i++)
		m->runtime[plan_list_get(&m->plan, list, i)].deaf_until_us =
			clock_now_us() + DEAF_US;
}

void watch_ready(struct manager *m, uint64_t data)
{
	uint32_t i = (uint32_t)(data & UINT32_MAX);

	if (i >= plan_section_count(&m->plan, PLAN_SOCKETS))
		return;
	uint32_t service = triggered_by(m, plan_socket(&m->plan, i)->unit);
	if (service == PLAN_NO_UNIT)
		return;
	event_emit(EVENT_INFO, "socket-activated", plan_unit_name(&m->plan, service),
		   "started by a connection to %s",
		   plan_string(&m->plan, plan_socket(&m->plan, i)->address));
	CRASH_POINT("socket-ready");
	goal_want(m, service);
}
