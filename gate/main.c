/*
 * holdfast-gate: keeps out who comes from outside. It has two halves, each by the best means that the
 * privileges at hand allow, and says in its record (lib/gateboard.h) which those are.
 *
 * Its death opens nothing: what must outlive it lies in PID 1's store, and its successor looks at all
 * that runs before it waits for what comes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <linux/capability.h>

#include "gate/calls.h"
#include "gate/detect.h"
#include "gate/exec.h"
#include "gate/gate.h"
#include "gen/gate/filter.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/sandbox.h"
#include "lib/sys.h"

#define EXIT_USAGE    64
#define EXIT_INTERNAL 70

static struct gate gate;
static struct exec_gate exec;
static struct calls calls;

static int fail(const char *what, int error)
{
	event_emit(EVENT_ERROR, "gate-failed", NULL, "%s: %s; nobody can be kept out", what,
		   strerror(-error));
	return EXIT_INTERNAL;
}

static uint32_t find_unmarked(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		const struct plan_unit *unit = plan_unit(plan, i);
		if (unit->kind == UNIT_SERVICE && !(unit->flags & UNIT_IS_MARKED))
			return i;
	}
	return PLAN_NO_UNIT;
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
	/* Where it is a file a service that is root may have cut it: then it begins anew. */
	if (r == -EBADMSG &&
	    gateboard_format(store_find(gate.store, STORE_GATE, 0), "starting again") == 0)
		r = gateboard_map(store_find(gate.store, STORE_GATE, 0), true, &gate.record);
	if (r < 0)
		return fail("its own record", r);
	gate.unmarked_unit = find_unmarked(&gate.plan);
	gate.is_lenient = gate.plan.header->flags & PLAN_SHELLS_WARN;
	gate.proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return 0;
}

/*
 * What it keeps: CAP_KILL, and what it takes to look which file a process executes, which is
 * CAP_SYS_PTRACE or, where there is none, whatever that process may have, so all that we have. What
 * those are good for is bounded by the filter, in which nothing changes anything but by a signal.
 */
static uint64_t capabilities_kept(void)
{
	uint64_t least = UINT64_C(1) << CAP_KILL | UINT64_C(1) << CAP_SYS_PTRACE;
	struct sys_capabilities sets;

	/* To mark mounts that come, wherever they lie. */
	if (exec.group >= 0)
		least |= UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_DAC_READ_SEARCH;
	if (sys_capget(&sets) < 0)
		return least;
	return sets.permitted & (UINT64_C(1) << CAP_SYS_PTRACE) ? least : sets.permitted;
}

static int lock_in(void)
{
	const struct sandbox sandbox = {
		.uid = UINT32_MAX,
		.capabilities = capabilities_kept(),
		.death_signal = SIGKILL,
		SANDBOX_FILTER(gate_filter),
	};
	char means[160];
	struct strbuf buf;
	int had = sandbox_enter(&sandbox);

	if (had < 0)
		return fail("its own sandbox", had);
	strbuf_init(&buf, means, sizeof(means));
	/* It stays who it is, and reads /proc. */
	sandbox_describe(&buf, had, SANDBOX_ALL & ~(SANDBOX_IDS | SANDBOX_NO_FILES));
	event_with_string("sandbox", means);
	event_emit(EVENT_INFO, "gate-started", NULL, "watching who comes in");
	return 0;
}

enum { WAIT_MOUNTS = TRIGGER_COUNT, WAIT_QUESTION, WAIT_CALL, WAIT_COUNT };

static int wait_for_any(struct pollfd fds[WAIT_COUNT], uint64_t until_us)
{
	uint64_t now_us = clock_now_us();
	uint64_t left_us = until_us > now_us ? until_us - now_us : 0;
	const struct timespec timeout = {
		.tv_sec = (time_t)(left_us / USEC_PER_SEC),
		.tv_nsec = (long)(left_us % USEC_PER_SEC) * 1000,
	};

	return ppoll(fds, WAIT_COUNT, until_us == USEC_INFINITY ? NULL : &timeout, NULL);
}

/* New mounts come before a question, that its file be found; and a question before all else, as somebody
 * stands still until it is answered. detect is NULL where there is nothing for it to do. */
static int watch(struct detect *detect)
{
	for (;;) {
		struct pollfd fds[WAIT_COUNT] = {
			[WAIT_MOUNTS] = {.fd = exec.mounts_fd, .events = POLLPRI},
			[WAIT_QUESTION] = {.fd = exec.group, .events = POLLIN},
			[WAIT_CALL] = {.fd = calls.fd, .events = POLLIN},
		};
		uint64_t until_us = detect ? detect->next_us : USEC_INFINITY;
		for (enum trigger i = 0; i < TRIGGER_COUNT; i++)
			fds[i] = (struct pollfd){
				.fd = detect ? detect_wait_fd(detect, i) : -1,
				.events = POLLIN,
			};
		if (wait_for_any(fds, until_us) < 0)
			continue;
		if (fds[WAIT_MOUNTS].revents)
			exec_take_mounts(&exec);
		bool is_triggered = fds[TRIGGER_ENTRY].revents || fds[TRIGGER_PROGRAM].revents;
		if (fds[WAIT_QUESTION].revents)
			is_triggered = exec_take_question(&exec) || is_triggered;
		if (fds[WAIT_CALL].revents)
			calls_take(&calls);
		if (detect && (is_triggered || clock_now_us() >= until_us) && !detect_turn(detect))
			return GATE_EXIT_UNSAFE;
	}
}

int main(void)
{
	static struct detect detect;
	sigset_t none;

	event_init("holdfast-gate", EVENT_FOR_LOG);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	int r = store_attach(ROLE_GATE, &gate.store);
	if (r < 0) {
		(void)fprintf(stderr, "holdfast-gate: %s\n", store_strerror(r));
		return EXIT_USAGE;
	}
	r = map_all();
	if (r != 0)
		return r;
	bool is_detecting = detect_open(&detect, &gate);
	r = exec_start(&exec, &gate, is_detecting ? &detect.judge : NULL);
	if (r < 0)
		return fail("the exec gate", r);
	calls_open(&calls, &gate);
	if (!is_detecting && exec.group < 0 && calls.fd < 0)
		return GATE_EXIT_NO_DUTY;
	r = lock_in();
	return r != 0 ? r : watch(is_detecting ? &detect : NULL);
}
