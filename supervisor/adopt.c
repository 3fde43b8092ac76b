#include "supervisor/adopt.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/proc.h"
#include "lib/sys.h"
#include "supervisor/exits.h"
#include "supervisor/goal.h"
#include "supervisor/instance.h"
#include "supervisor/notify.h"
#include "supervisor/transition.h"
#include "supervisor/work.h"

/*
 * What a service says is in its socket's queue before its end is in the journal. So the head of the
 * journal is read first and the queue then: what follows that head may have come after the last
 * datagram that was taken, and has its turn in the next look, for which the eventfd stands ready.
 */
static void apply_up_to(struct manager *m, uint64_t head)
{
	uint64_t cursor = board_peek_manager(&m->board)->cursor;
	struct journal_entry entry;

	while (cursor < head && journal_read(m->journal, cursor + 1, &entry)) {
		cursor = entry.seq;
		if (entry.kind == JOURNAL_EXIT)
			exits_apply(m, &entry);
		else if (entry.kind == JOURNAL_SIGNAL)
			instance_apply_signal(m, &entry);
	}
	CRASH_POINT("journal-applied");
	struct board_manager next = *board_peek_manager(&m->board);
	if (next.cursor == cursor)
		return;
	next.cursor = cursor;
	board_write_manager(&m->board, &next);
	CRASH_POINT("cursor-published");
}

void adopt_news(struct manager *m, int notify_socket)
{
	uint64_t head = atomic_load_explicit(&m->journal->head, memory_order_acquire);

	CRASH_POINT("journal-seen");
	notify_drain(m, notify_socket);
	CRASH_POINT("notify-drained");
	apply_up_to(m, head);
}

/* Before the journal is read: a pid that is reused from here on cannot be mistaken for ours. */
static void open_pidfds(struct manager *m, uint32_t unit)
{
	for (int slot = 0; slot < SLOT_COUNT; slot++) {
		int32_t pid = manager_pid(m, unit, (enum board_slot)slot);
		if (pid > 0)
			m->runtime[unit].pidfd[slot] = sys_pidfd_open(pid, 0);
	}
}

static bool has_executed(int32_t pid)
{
	CLEANUP(fd_closep) int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct proc_stat stat;

	return proc >= 0 && proc_read_stat(proc, pid, &stat) == 0 && stat.has_executed;
}

/* The kernel wrote the pid, and the predecessor died before it wrote the session. */
static void adopt_session(struct manager *m, uint32_t unit, struct board_unit *record)
{
	int32_t pid = manager_pid(m, unit, SLOT_MAIN);

	if (record->session == pid)
		return;
	/* On its way to the program it will lead one, but may not have come to setsid() yet. */
	int32_t session = has_executed(pid) ? getsid(pid) : pid;

	/* It is reaped, or keeps our terminal. */
	if (session <= 0 || session == getsid(0))
		session = pid;
	if (record->session == session)
		return;
	record->session = session;
	manager_publish(m, unit, record);
}

/* The predecessor had started it and died before it could say that this was the start. Before the
 * journal is read, which may hold its end. */
static void finish_start(struct manager *m, uint32_t unit)
{
	struct board_unit record = *board_peek_unit(&m->board, unit);

	if (manager_pid(m, unit, SLOT_MAIN) <= 0)
		return;
	adopt_session(m, unit, &record);
	int event = record.flags & BOARD_UNIT_FORKED ? EVENT_UNIT_DONE
						     : work_after_spawn(m, unit, &record);
	if (record.state == UNIT_START && event != NO_EVENT)
		transition_advance(m, unit, &record, (enum unit_event)event);
}

/* A command of the state is running, or what it left behind is waited for. */
static bool is_under_way(const struct manager *m, uint32_t unit, const struct board_unit *record)
{
	if (record->state == UNIT_FETCHING)
		return manager_pid(m, unit, SLOT_HELPER) > 0;
	if (unit_entries[record->state].phase < 0)
		return false;
	enum board_slot slot = work_slot(m, unit, (enum unit_state)record->state);
	return manager_pid(m, unit, slot) > 0;
}

static void finish_what_was_begun(struct manager *m, uint32_t unit)
{
	const struct board_unit *record = board_peek_unit(&m->board, unit);

	if (record->state == UNIT_START && (record->flags & BOARD_UNIT_FORKED))
		m->runtime[unit].retry_us = m->runtime[unit].due_us = 0;
	else if (!is_under_way(m, unit, record))
		transition_resume(m, unit);
	manager_mark(m, unit);
}

static void say_adoption(const struct manager *m)
{
	const char *phase = board_phase_names[board_peek_manager(&m->board)->phase];
	uint32_t n = 0;

	for (uint32_t unit = 0; unit < m->n_units; unit++)
		n += manager_pid(m, unit, SLOT_MAIN) > 0;
	event_with_i64("services", n);
	event_with_string("phase", phase);
	event_emit(EVENT_WARNING, "supervisor-adopted", NULL,
		   "a new supervisor took over %u running services; the instance is %s", n, phase);
}

void adopt_run(struct manager *m, int notify_socket)
{
	CRASH_POINT("adopt-before");
	atomic_store(&m->board.header->supervisor_pid, (int32_t)getpid());
	bool is_successor = atomic_fetch_add(&m->board.header->supervisor_starts, 1) > 0;
	board_copy_to(&m->board, store_find(m->store, STORE_BOARD_FILE, 0));
	if (is_successor)
		say_adoption(m);
	for (uint32_t unit = 0; unit < m->n_units; unit++)
		open_pidfds(m, unit);
	for (uint32_t unit = 0; unit < m->n_units; unit++)
		finish_start(m, unit);
	/* A death between a phase and its poke. */
	instance_tell_phase(m);
	adopt_news(m, notify_socket);
	CRASH_POINT("adopted");
	/* Asked now, as the journal may hold the wish to stop. */
	if (board_peek_manager(&m->board)->phase == BOARD_BOOTING)
		instance_begin(m);
	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		if (manager_is_stopping(m))
			goal_unwant(m, unit);
		finish_what_was_begun(m, unit);
	}
}
