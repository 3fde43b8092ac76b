/*
 * holdfast-log: takes what services and holdfast itself write, and gives it to the ring and to the
 * output. One thread gathers (here), one emits (log/emit.c). It waits for bytes and for SIGTERM,
 * which means: empty the pipes, write out the ring, and go; PID 1 waits a second for that.
 *
 * Streams take turns of at most 64 KiB in the order in which epoll reports them, which is a round:
 * a level-triggered fd that is still readable goes to the end of the kernel's list. So whoever
 * floods delays nobody by more than one turn of each.
 *
 * All that must outlive this process lies in the ring and in the capture area; a successor starts
 * here like the first one.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gen/log/filter.h"
#include "lib/board.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fingerprint.h"
#include "lib/plan.h"
#include "lib/ring.h"
#include "lib/sandbox.h"
#include "lib/scrub.h"
#include "lib/store.h"
#include "log/capture.h"
#include "log/emit.h"

#define EXIT_INTERNAL 70
/* Nobody reads our lines where we do not: the status has to say it. */
#define EXIT_OTHER_BUILD 78
#define TURNS_MAX	 64 /* streams a round */
#define SIGNAL_TAG	 UINT64_MAX
#define STOP_DRAIN_US	 (400 * USEC_PER_MSEC)
#define STOP_EMIT_MS	 500

struct log {
	const struct store_table *store;
	struct plan plan;
	struct board board;
	struct ring ring;
	struct fingerprints fingerprints;
	struct scrubber scrubber;
	struct capture capture;
	int epoll_fd, signal_fd, output_fd;
	pid_t parent; /* PID 1, as it was when we started */
	bool is_stopping;
	bool has_lost_state;
};

/* ---------------------------------------------------------------- opening */

static void die(const char *what, int error)
{
	event_with_i64("errno", error);
	event_emit(EVENT_ERROR, "log-failed", NULL, "%s: %s", what, strerror(error));
	exit(EXIT_INTERNAL);
}

static void refuse_start(int error)
{
	event_emit(EVENT_ERROR, "log-failed", NULL, "holdfast-log: %s", store_strerror(error));
	exit(error == -ESTALE ? EXIT_OTHER_BUILD : EXIT_INTERNAL);
}

/* All signals are blocked: TERM is read from signal_fd, and what a terminal sends to its whole
 * group is for PID 1 to judge. A write to a closed pipe says EPIPE. */
static int take_signals(struct log *log)
{
	sigset_t all, term;

	(void)sigfillset(&all);
	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	(void)signal(SIGPIPE, SIG_IGN);
	log->parent = getppid();
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	log->signal_fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
	return log->signal_fd < 0 ? -errno : 0;
}

static int open_ring_once(int fd, struct ring *ret_ring)
{
	int r = ring_map(fd, true, ret_ring);

	return r < 0 ? r : ring_recover(ret_ring);
}

/* The ring as it was left, or a new one. */
static int open_ring(struct log *log)
{
	int fd = store_find(log->store, STORE_RING, 0);
	int r = open_ring_once(fd, &log->ring);

	if (r != -EBADMSG)
		return r;
	log->has_lost_state = lseek(fd, 0, SEEK_END) > 0;
	r = ring_format(fd, log->plan.header->ring_bytes);
	return r < 0 ? r : open_ring_once(fd, &log->ring);
}

static int watch(const struct log *log, int fd, uint64_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};

	return epoll_ctl(log->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* An event carries the stream and the fd, so that nothing is kept for each of thousands. */
static uint64_t tag_of(uint32_t stream, int fd)
{
	return (uint64_t)stream << 32 | (uint32_t)fd;
}

static int watch_pipes(const struct log *log)
{
	const struct store_entry *entry;
	uint32_t cursor = 0;

	while ((entry = store_next(log->store, STORE_PIPE_READ, &cursor))) {
		if (entry->index >= log->capture.n_streams)
			continue;
		int r = watch(log, entry->fd, tag_of(entry->index, entry->fd));
		if (r < 0)
			return r;
	}
	return watch(log, log->signal_fd, SIGNAL_TAG);
}

/* Where no unit has a secret there is no table. */
static int open_fingerprints(struct log *log)
{
	int fd = store_find(log->store, STORE_FINGERPRINTS_READ, 0);

	scrub_init(&log->scrubber, NULL);
	if (fd < 0)
		return 0;
	int r = fingerprint_map(fd, store_find(log->store, STORE_FINGERPRINT_KEY, 0), false,
				&log->fingerprints);
	if (r == 0)
		scrub_init(&log->scrubber, &log->fingerprints);
	return r;
}

/* What must be had before the sandbox closes. */
static void open_inputs(struct log *log)
{
	int r = take_signals(log);

	if (r < 0)
		die("cannot take signals", -r);
	r = store_attach(ROLE_LOG, &log->store);
	if (r < 0)
		refuse_start(r);
	r = plan_map(store_find(log->store, STORE_PLAN_PUBLIC, 0), &log->plan);
	if (r < 0)
		die("cannot read the plan", -r);
	r = board_map(store_find(log->store, STORE_BOARD_PUBLIC, 0), false, &log->board);
	if (r == 0 && log->board.n_units != plan_unit_count(&log->plan))
		r = -EBADMSG;
	if (r < 0)
		die("cannot read the board", -r);
	r = open_ring(log);
	if (r < 0)
		die("cannot open the ring", -r);
	r = open_fingerprints(log);
	if (r < 0)
		die("cannot read the fingerprints of secrets", -r);
	log->output_fd = store_find(log->store, STORE_OUTPUT, 0);
	log->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (log->epoll_fd < 0)
		die("cannot wait for events", errno);
}

static int enter_sandbox(const struct log *log)
{
	const struct sandbox sandbox = {
		.uid = log->plan.header->uid_log,
		.death_signal = SIGTERM,
		.has_no_files = true,
		SANDBOX_FILTER(log_filter),
	};
	int had = sandbox_enter(&sandbox);

	if (had < 0)
		die("cannot drop rights", -had);
	return had;
}

/* From here on bytes of services are looked at. */
static void open_capture(struct log *log)
{
	int r = capture_open(&log->capture, store_find(log->store, STORE_CAPTURE, 0), &log->ring,
			     &log->board, plan_unit_count(&log->plan), &log->scrubber);

	if (r < 0)
		die("cannot open the capture area", -r);
	log->has_lost_state |= r == 1;
	r = watch_pipes(log);
	if (r < 0)
		die("cannot watch the pipes", -r);
}

static void report(const struct log *log, int had)
{
	char text[160];
	struct strbuf sandbox;

	strbuf_init(&sandbox, text, sizeof(text));
	sandbox_describe(&sandbox, had, SANDBOX_ALL);
	if (log->has_lost_state)
		event_emit(
			EVENT_WARNING, "log-state-lost", NULL,
			"the ring or the capture area made no sense and was made anew; lines in it "
			"are lost");
	if (!log->capture.has_splice)
		event_emit(
			EVENT_WARNING, "log-without-splice", NULL,
			"splice(2) is not to be had here: a kill of holdfast-log may lose lines");
	event_with_i64("streams", log->capture.n_streams);
	event_with_string("sandbox", text);
	event_emit(EVENT_INFO, "log-started", NULL, "taking lines of %" PRIu32 " streams (%s)",
		   log->capture.n_streams, text);
}

/* ---------------------------------------------------------------- gathering */

/* Nobody can write there any more; without this, epoll would report it for ever. */
static void close_stream(struct log *log, uint32_t stream, int fd)
{
	(void)epoll_ctl(log->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	capture_finish(&log->capture, stream);
}

/* Only PID 1 decides that nothing more will come, or its death does. What is sent to a whole process
 * group (a terminal, timeout(1)) goes to it as well, and it will stop us last. */
static void take_term(struct log *log)
{
	struct signalfd_siginfo info = {0};

	if (read(log->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_pid == (uint32_t)log->parent || getppid() != log->parent)
		log->is_stopping = true;
}

static void serve(struct log *log, uint64_t tag)
{
	uint32_t stream = (uint32_t)(tag >> 32);
	int fd = (int)(uint32_t)tag;

	if (tag == SIGNAL_TAG) {
		take_term(log);
		return;
	}
	ssize_t n = capture_take(&log->capture, stream, fd);
	if (n == 0 || (n < 0 && n != -EAGAIN))
		close_stream(log, stream, fd);
}

/* One round. False when nothing came within timeout_ms. */
static bool serve_round(struct log *log, int timeout_ms)
{
	struct epoll_event events[TURNS_MAX];
	int n = epoll_wait(log->epoll_fd, events, TURNS_MAX, timeout_ms);

	for (int i = 0; i < n; i++) {
		if (log->output_fd >= 0)
			emit_make_way();
		serve(log, events[i].data.u64);
	}
	if (n > 0)
		emit_wake();
	return n > 0;
}

static void finish_lines(struct log *log)
{
	for (uint32_t stream = 0; stream < log->capture.n_streams; stream++)
		capture_finish(&log->capture, stream);
}

/* What services go on writing while we empty the pipes is bounded by time. */
static bool stop(struct log *log)
{
	uint64_t deadline = clock_now_us() + STOP_DRAIN_US;

	while (clock_now_us() < deadline && serve_round(log, 0))
		;
	finish_lines(log);
	return log->output_fd < 0 || emit_stop(STOP_EMIT_MS);
}

int main(void)
{
	static struct log log;

	event_init("holdfast-log", EVENT_FOR_LOG);
	open_inputs(&log);
	int had = enter_sandbox(&log);
	open_capture(&log);
	report(&log, had);
	if (log.output_fd >= 0) {
		int r = emit_start(&log.ring, &log.plan, log.output_fd);
		if (r < 0)
			die("cannot start the emitting thread", -r);
	}
	while (!log.is_stopping)
		(void)serve_round(&log, -1);
	return stop(&log) ? EXIT_SUCCESS : EXIT_FAILURE;
}
