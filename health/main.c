#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "gen/health/filter.h"
#include "health/server.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/sandbox.h"
#include "lib/store.h"

/*
 * holdfast-health: answers GET and HEAD over HTTP from shared memory. It is handed its listeners,
 * the public plan, the board, the journal and the ring (read-only) and the eventfds to ask for
 * life; it talks to no process, writes nowhere but to its connections and its stderr, and before
 * the first byte from outside it has given up everything else (lib/sandbox.h, filter.list).
 *
 * It holds nothing that its death could lose: the listeners with their backlog are PID 1's.
 */

#define EXIT_USAGE    64
#define EXIT_INTERNAL 70

static struct server server;

static int fail(const char *what, int error)
{
	event_emit(EVENT_ERROR, "health-failed", NULL, "%s: %s; health cannot be served", what,
		   strerror(-error));
	return EXIT_INTERNAL;
}

/* They come non-blocking, and with TCP_DEFER_ACCEPT: init/boot/sockets.c opens them. */
static void take_listeners(const struct store_table *store)
{
	uint32_t cursor = 0;
	const struct store_entry *entry;

	while ((entry = store_next(store, STORE_LISTEN, &cursor)) &&
	       server.n_listeners < SERVER_LISTENERS_MAX)
		server.listeners[server.n_listeners++] = entry->fd;
}

static int map_all(const struct store_table *store)
{
	struct snapshot *snapshot = &server.site.snapshot;
	struct journal *journal;
	int r = plan_map(store_find(store, STORE_PLAN_PUBLIC, 0), &snapshot->plan);

	if (r < 0)
		return fail("the public plan", r);
	r = board_map(store_find(store, STORE_BOARD_PUBLIC, 0), false, &snapshot->board);
	if (r == 0 &&
	    (snapshot->board.n_units != plan_unit_count(&snapshot->plan) ||
	     snapshot->board.n_secrets != plan_section_count(&snapshot->plan, PLAN_SECRETS)))
		r = -EBADMSG;
	if (r < 0)
		return fail("the board", r);
	r = journal_map(store_find(store, STORE_JOURNAL_READ, 0), false, &journal);
	if (r < 0)
		return fail("the journal", r);
	snapshot->journal = journal;
	snapshot->ring_fd = store_find(store, STORE_RING_PUBLIC, 0);
	struct gateboard *record;
	if (gateboard_map(store_find(store, STORE_GATE_PUBLIC, 0), false, &record) == 0)
		snapshot->gate = record;
	server.site.live = (struct live){
		.ask_init_fd = store_find(store, STORE_EVENT_ASK_INIT, 0),
		.ask_supervisor_fd = store_find(store, STORE_EVENT_ASK_SUPERVISOR, 0),
		.answer_fd = store_find(store, STORE_EVENT_ANSWER, 0),
		.journal = journal,
		.board = &snapshot->board,
	};
	return 0;
}

static int lock_in(void)
{
	const struct sandbox sandbox = {
		.uid = server.site.snapshot.plan.header->uid_health,
		.death_signal = SIGKILL,
		.has_no_files = true,
		SANDBOX_FILTER(health_filter),
	};
	char means[160];
	struct strbuf buf;
	int had = sandbox_enter(&sandbox);

	if (had < 0)
		return fail("dropping to the own uid", had);
	strbuf_init(&buf, means, sizeof(means));
	sandbox_describe(&buf, had, SANDBOX_ALL);
	event_with_i64("addresses", (int64_t)server.n_listeners);
	event_with_string("sandbox", means);
	event_emit(had == SANDBOX_ALL ? EVENT_INFO : EVENT_NOTICE, "health-listening", NULL,
		   "health is served (%s)", means);
	return 0;
}

int main(void)
{
	const struct store_table *store;
	sigset_t none;

	event_init("holdfast-health", EVENT_FOR_LOG);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	int r = store_attach(ROLE_HEALTH, &store);
	if (r < 0) {
		(void)fprintf(stderr, "holdfast-health: %s\n", store_strerror(r));
		return EXIT_USAGE;
	}
	r = map_all(store);
	if (r != 0)
		return r;
	take_listeners(store);
	if (server.n_listeners == 0)
		return fail("listeners", -ENOENT);
	r = server_init(&server);
	if (r < 0)
		return fail("the event loop", r);
	r = lock_in();
	if (r != 0)
		return r;
	return fail("waiting for events", server_run(&server));
}
