#include "supervisor/manager.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "supervisor/spawn.h"

#define RETRY_US	 (5 * USEC_PER_MSEC)
#define KEPT_FOR_KILL_US (2 * USEC_PER_SEC)

int32_t manager_pid(const struct manager *m, uint32_t unit, enum board_slot slot)
{
	return atomic_load_explicit(&m->board.slots[unit][slot], memory_order_acquire);
}

int manager_secret_fd(const struct manager *m, uint32_t unit)
{
	struct plan_range range = plan_unit(&m->plan, unit)->secrets;

	return range.count == 0
		       ? -EBADF
		       : m->runtime[unit]
				 .secret_fds[board_peek_life(&m->board, range.first)->side & 1];
}

/* ---- the queue of units to look at */

void manager_mark(struct manager *m, uint32_t unit)
{
	if (m->runtime[unit].is_dirty)
		return;
	m->runtime[unit].is_dirty = true;
	m->queue[(m->queue_head + m->queue_count++) % m->n_units] = unit;
}

void manager_mark_around(struct manager *m, uint32_t unit)
{
	manager_mark(m, unit);
	for (int relation = 0; relation < UNIT_RELATION_COUNT; relation++) {
		struct plan_list list = plan_unit(&m->plan, unit)->relations[relation];
		for (uint32_t i = 0; i < list.count; i++)
			manager_mark(m, plan_list_get(&m->plan, list, i));
	}
}

/* ---- time */

void manager_update_due(struct manager *m, uint32_t unit)
{
	const struct board_unit *record = board_peek_unit(&m->board, unit);
	struct unit_runtime *runtime = &m->runtime[unit];

	runtime->due_us = MIN(MIN(record->deadline_us, record->watchdog_us),
			      MIN(runtime->retry_us, runtime->secrets_due_us));
}

void manager_publish(struct manager *m, uint32_t unit, const struct board_unit *record)
{
	board_write_unit(&m->board, unit, record);
	manager_update_due(m, unit);
}

void manager_retry_soon(struct manager *m, uint32_t unit)
{
	m->runtime[unit].retry_us = clock_now_us() + RETRY_US;
	manager_update_due(m, unit);
}

uint64_t manager_stop_deadline(const struct manager *m)
{
	const struct board_manager *now = board_peek_manager(&m->board);
	uint64_t budget = m->plan.header->stop_timeout_us;

	if (now->stop_us == 0)
		return USEC_INFINITY;
	return clock_add_us(now->stop_us,
			    budget > KEPT_FOR_KILL_US ? budget - KEPT_FOR_KILL_US : budget / 2);
}

bool manager_is_stopping(const struct manager *m)
{
	return board_peek_manager(&m->board)->phase >= BOARD_STOPPING;
}

/* ---- start */

static int map_shared(struct manager *m)
{
	int r = plan_map(store_find(m->store, STORE_PLAN, 0), &m->plan);

	if (r < 0)
		return r;
	r = board_map(store_find(m->store, STORE_BOARD, 0), true, &m->board);
	if (r < 0)
		return r;
	r = journal_map(store_find(m->store, STORE_JOURNAL_READ, 0), false, &m->journal);
	if (r < 0)
		return r;
	m->n_units = plan_unit_count(&m->plan);
	if (m->board.n_units != m->n_units ||
	    m->board.n_secrets != plan_section_count(&m->plan, PLAN_SECRETS))
		return -EBADMSG;
	/* A fork would copy its page tables for nothing; the kernel's write to a slot is not
	 * affected, as it happens in the parent. */
	(void)madvise(m->board.header, m->board.header->size, MADV_DONTFORK);
	return 0;
}

static int map_fingerprints(struct manager *m)
{
	int fd = store_find(m->store, STORE_FINGERPRINTS, 0);

	return fd < 0 ? 0
		      : fingerprint_map(fd, store_find(m->store, STORE_FINGERPRINT_KEY, 0), false,
					&m->fingerprints);
}

const struct fingerprints *manager_fingerprints(const struct manager *m)
{
	return m->fingerprints.header ? &m->fingerprints : NULL;
}

/* What was made for the units' secrets; in this process it has PID 1's numbers. */
static void adopt_files(struct manager *m)
{
	for (uint32_t i = 0; i < m->store->count; i++) {
		const struct store_entry *e = &m->store->entries[i];
		if (e->index >= m->n_units)
			continue;
		struct unit_runtime *runtime = &m->runtime[e->index];
		switch (e->kind) {
		case STORE_SECRET: runtime->secret_fds[0] = e->fd; break;
		case STORE_SECRET_OTHER: runtime->secret_fds[1] = e->fd; break;
		case STORE_SECRET_STATE: runtime->state_fd = e->fd; break;
		case STORE_SECRET_REPORT: runtime->report_fd = e->fd; break;
		default: break;
		}
	}
}

int manager_init(struct manager *m, const struct store_table *store)
{
	*m = (struct manager){.store = store};

	int r = map_shared(m);
	if (r == 0)
		r = map_fingerprints(m);
	if (r < 0)
		return r;
	m->runtime = calloc(MAX(m->n_units, 1U), sizeof(*m->runtime));
	m->queue = calloc(MAX(m->n_units, 1U), sizeof(*m->queue));
	if (!m->runtime || !m->queue)
		return -ENOMEM;
	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		for (int slot = 0; slot < SLOT_COUNT; slot++)
			m->runtime[unit].pidfd[slot] = -EBADF;
		m->runtime[unit].retry_us = USEC_INFINITY;
		m->runtime[unit].secrets_due_us = USEC_INFINITY;
		m->runtime[unit].secret_fds[0] = m->runtime[unit].secret_fds[1] = -EBADF;
		m->runtime[unit].state_fd = m->runtime[unit].report_fd = -EBADF;
		manager_update_due(m, unit);
	}
	adopt_files(m);
	m->channel = store_find(store, STORE_CHANNEL, 0);
	m->event_phase = store_find(store, STORE_EVENT_PHASE, 0);
	return spawn_init(&m->spawner, &m->plan, store, &m->board);
}
