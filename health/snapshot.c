#include "health/snapshot.h"

#include <stdatomic.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/str.h"

#define EXPIRES_SOON_S (UINT64_C(7) * 24 * 3600)

const char *const health_status_names[HEALTH_STATUS_COUNT] = {"pass", "warn", "fail"};

bool snapshot_is_started(const struct board_manager *manager)
{
	return manager->ready_us != 0 || manager->phase == BOARD_RUNNING;
}

bool snapshot_is_stopping(const struct board_manager *manager)
{
	return manager->phase >= BOARD_DRAINING;
}

bool snapshot_counts(const struct plan_unit *unit)
{
	return (unit->flags & (UNIT_WANTED | UNIT_ESSENTIAL)) != 0;
}

/* Nothing runs, and nothing has to: a oneshot that did its work, or a condition that said no. */
static bool is_done(const struct plan_unit *unit, const struct board_unit *state)
{
	if (state->state != UNIT_INACTIVE)
		return false;
	if (state->flags & BOARD_UNIT_CONDITION_UNMET)
		return true;
	return unit->type == SERVICE_ONESHOT && state->result == RESULT_SUCCESS &&
	       (state->active_us != 0 ||
		(state->flags & (BOARD_UNIT_MAIN_EXITED | BOARD_UNIT_SETTLED)));
}

bool snapshot_is_up(const struct plan_unit *unit, const struct board_unit *state)
{
	/* READY is also what a failing readiness probe or STOPPING=1 takes back. A unit that is
	 * being drained runs, and is not to be sent anything more. */
	if (state->state == UNIT_RUNNING || state->state == UNIT_EXITED)
		return (state->flags & BOARD_UNIT_READY) != 0;
	return is_done(unit, state);
}

enum health_status snapshot_judge(const struct board_manager *manager, const struct plan_unit *unit,
				  const struct board_unit *state)
{
	if (snapshot_counts(unit)) {
		if (snapshot_is_up(unit, state))
			return HEALTH_PASS;
		/* On its way up for the first time is no failure yet, though nobody is ready. */
		return manager->phase <= BOARD_STARTING && state->state != UNIT_FAILED
			       ? HEALTH_WARN
			       : HEALTH_FAIL;
	}
	return state->state == UNIT_FAILED ? HEALTH_WARN : HEALTH_PASS;
}

static bool has_gate_means(const struct gateboard *gate)
{
	for (enum gate_half half = 0; half < GATE_HALF_COUNT; half++) {
		if (gateboard_read_rung(gate, half).level != PROTECTION_NONE)
			return true;
	}
	return false;
}

enum health_status snapshot_judge_protection(const struct snapshot *snapshot,
					     const struct protection *protection)
{
	if (protection->level != PROTECTION_NONE)
		return HEALTH_PASS;
	return protection->is_of_gate && has_gate_means(snapshot->gate) ? HEALTH_PASS : HEALTH_WARN;
}

struct protection_list snapshot_protections(const struct snapshot *snapshot)
{
	bool has_gate = snapshot->plan.header->flags & PLAN_IS_PID1;

	return (struct protection_list){.plan = &snapshot->plan,
					.gate = has_gate ? snapshot->gate : NULL};
}

static enum health_status judge_log(struct snapshot *snapshot)
{
	const struct ring *ring = snapshot_ring(snapshot);

	return ring && ring_dropped(ring) > 0 ? HEALTH_WARN : HEALTH_PASS;
}

static uint64_t this_hour(void)
{
	return clock_wall_us() / (3600 * USEC_PER_SEC);
}

static bool ends_soon(int64_t expires)
{
	uint64_t now_s = clock_wall_us() / USEC_PER_SEC;

	return expires > 0 && (uint64_t)expires < now_s + EXPIRES_SOON_S;
}

enum health_status snapshot_judge_secrets(const struct snapshot *snapshot, uint32_t unit,
					  const char **ret_why)
{
	struct plan_range range = plan_unit(&snapshot->plan, unit)->secrets;
	struct board_life life = board_read_life(&snapshot->board, range.first);

	*ret_why = NULL;
	if (life.flags & LIFE_STALE)
		*ret_why = "newer values are known than the unit has";
	if (life.flags & LIFE_KEPT)
		*ret_why = "they could not be looked at; the last known values serve";
	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		if (ends_soon(board_read_secret(&snapshot->board, i).expires))
			*ret_why = "a certificate ends within 7 days";
	}
	return *ret_why ? HEALTH_WARN : HEALTH_PASS;
}

static void raise_status(struct verdict *verdict, enum health_status status)
{
	if (status > verdict->status)
		verdict->status = status;
}

static void judge_protections(const struct snapshot *snapshot, struct verdict *verdict)
{
	struct protection_list list = snapshot_protections(snapshot);
	struct protection protection;

	while (protection_next(&list, &protection))
		raise_status(verdict, snapshot_judge_protection(snapshot, &protection));
}

static void judge_units(const struct snapshot *snapshot, const struct board_manager *manager,
			struct verdict *verdict)
{
	const char *why;

	verdict->are_units_up = true;
	for (uint32_t i = 0; i < snapshot->board.n_units; i++) {
		const struct plan_unit *unit = plan_unit(&snapshot->plan, i);
		struct board_unit state = board_read_unit(&snapshot->board, i);
		raise_status(verdict, snapshot_judge(manager, unit, &state));
		if (unit->secrets.count > 0)
			raise_status(verdict, snapshot_judge_secrets(snapshot, i, &why));
		if (snapshot_counts(unit) && !snapshot_is_up(unit, &state))
			verdict->are_units_up = false;
	}
}

static struct verdict judge(struct snapshot *snapshot, uint64_t changes)
{
	struct board_manager manager = board_read_manager(&snapshot->board);
	struct verdict verdict = {
		.is_valid = true,
		.changes = changes,
		.hour = this_hour(),
		.is_started = snapshot_is_started(&manager),
		.is_stopping = snapshot_is_stopping(&manager),
	};

	judge_units(snapshot, &manager, &verdict);
	judge_protections(snapshot, &verdict);
	if (!verdict.is_started || verdict.is_stopping || !verdict.are_units_up)
		verdict.status = HEALTH_FAIL;
	return verdict;
}

const struct verdict *snapshot_verdict(struct snapshot *snapshot)
{
	/* Before the records, so that a change meanwhile makes the verdict stale and not wrong. */
	uint64_t changes =
		atomic_load_explicit(&snapshot->board.header->changes, memory_order_acquire);

	if (!snapshot->verdict.is_valid || snapshot->verdict.changes != changes ||
	    snapshot->verdict.hour != this_hour())
		snapshot->verdict = judge(snapshot, changes);
	/* The log's counters move without the board. */
	raise_status(&snapshot->verdict, judge_log(snapshot));
	return &snapshot->verdict;
}

bool snapshot_is_ready(struct snapshot *snapshot)
{
	const struct verdict *verdict = snapshot_verdict(snapshot);

	return verdict->is_started && !verdict->is_stopping && verdict->are_units_up;
}

const struct ring *snapshot_ring(struct snapshot *snapshot)
{
	/* Log formats the ring when it starts, which may be after us. */
	if (!snapshot->ring.header && snapshot->ring_fd >= 0 &&
	    ring_map(snapshot->ring_fd, false, &snapshot->ring) < 0)
		snapshot->ring.header = NULL;
	return snapshot->ring.header ? &snapshot->ring : NULL;
}

uint64_t snapshot_deaths(const struct snapshot *snapshot)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_COUNT(snapshot->journal->deaths); i++)
		sum += atomic_load_explicit(&snapshot->journal->deaths[i], memory_order_relaxed);
	return sum;
}

struct snapshot_key snapshot_key(struct snapshot *snapshot)
{
	const struct ring *ring = snapshot_ring(snapshot);
	struct snapshot_key key = {
		.changes = atomic_load_explicit(&snapshot->board.header->changes,
						memory_order_acquire),
		.journal_head =
			atomic_load_explicit(&snapshot->journal->head, memory_order_acquire),
		.deaths = snapshot_deaths(snapshot),
		.refusals = snapshot->gate ? gateboard_changes(snapshot->gate) : 0,
		.hour = this_hour(),
	};

	if (ring) {
		key.log_seq = atomic_load_explicit(&ring->header->last_seq, memory_order_relaxed);
		key.log_emitted = ring_read_emission(ring).seq;
		key.log_dropped = ring_dropped(ring);
	}
	return key;
}
