/*
 * holdfast-gate: keeps out who comes from outside. It has two halves, each by the best means that the
 * privileges at hand allow, and says in its record (lib/gateboard.h) which those are.
 *
 * Its death opens nothing: what must outlive it lies in PID 1's store, and its successor looks at all
 * that runs before it waits for what comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "gate/gate.h"
#include "lib/cleanup.h"
#include "lib/event.h"

#define EXIT_USAGE    64
#define EXIT_INTERNAL 70

static struct gate gate;

static int fail(const char *what, int error)
{
	event_emit(EVENT_ERROR, "gate-failed", NULL, "%s: %s; nobody can be kept out", what,
		   strerror(-error));
	return EXIT_INTERNAL;
}

static int map_all(void)
{
	struct journal *journal;
	int r = plan_map(store_find(gate.store, STORE_PLAN_PUBLIC, 0), &gate.plan);

	if (r < 0)
		return fail("the public plan", r);
	r = board_map(store_find(gate.store, STORE_BOARD_PUBLIC, 0), false, &gate.board);
	if (r == 0 && gate.board.n_units != plan_unit_count(&gate.plan))
		r = -EBADMSG;
	if (r < 0)
		return fail("the board", r);
	r = journal_map(store_find(gate.store, STORE_JOURNAL_READ, 0), false, &journal);
	if (r < 0)
		return fail("the journal", r);
	gate.journal = journal;
	r = gateboard_map(store_find(gate.store, STORE_GATE, 0), true, &gate.record);
	if (r < 0)
		return fail("its own record", r);
	gate.is_lenient = gate.plan.header->flags & PLAN_SHELLS_WARN;
	gate.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

int main(void)
{
	sigset_t none;

	event_init("holdfast-gate", EVENT_FOR_LOG);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (store_attach(ROLE_GATE, &gate.store) < 0) {
		(void)fprintf(stderr, "holdfast-gate: holdfast starts this program\n");
		return EXIT_USAGE;
	}
	int r = map_all();
	if (r != 0)
		return r;
	for (int half = 0; half < GATE_HALF_COUNT; half++)
		gateboard_write_rung(gate.record, half, PROTECTION_NONE, "none",
				     "this version of holdfast-gate has no means");
	return GATE_EXIT_NO_DUTY;
}
