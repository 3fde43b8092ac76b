#include "log/emit.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "lib/str.h"
#include "log/render.h"

/*
 * Lines are rendered into one buffer, the buffer is written, and only then the ring's record of
 * the emission moves. So a line gets out at least once: a successor writes again what was in flight
 * and nothing else, each line with the same seq, after a newline that ends what may have been torn.
 *
 * A batch is copied out of the ring before it is written. While the write blocks the ring goes on
 * overwriting; what was lost shows as a jump in seq when the next batch is made, and a line that
 * says so stands in its place.
 *
 * An output whose reader is gone is tried again when there is a new line, at most every
 * RETRY_FIRST_US at first: a runtime that was restarted opens its FIFO anew. It costs no wake-up of
 * its own. After emit_start events are this thread's alone to say (lib/event.h is not
 * thread-safe).
 */

#define BATCH_MAX	(64U << 10)
#define STACK_SIZE	(64U << 10)
#define THREAD_AGAIN_MS 50
#define WAY_WAIT_MS	5
#define WAY_BUDGET_US	(100 * USEC_PER_MSEC)
#define WAY_REFILL	20 /* so many µs bring back one of the budget */
#define RETRY_FIRST_US	USEC_PER_SEC
#define RETRY_MAX_US	(60 * USEC_PER_SEC)

static struct {
	struct ring *ring;
	int output_fd;
	int wake_fd, moved_fd, done_fd; /* eventfds */
	struct renderer renderer;
	struct ring_emission next; /* what holds once the batch is written */
	uint64_t retry_us, retry_at_us;
	bool is_broken;
	bool is_torn; /* a dead process may have left half a line */
	_Atomic bool is_waiting, is_stopping;
	_Atomic bool is_awaited; /* the gathering thread waits for the emission to move */
	/* The gathering thread's: where it waits no more, and for how long it may wait in vain. */
	uint64_t stuck_at, budget_us, refilled_us;
	size_t written; /* of the batch */
	struct strbuf batch;
	char batch_data[BATCH_MAX];
	char text[RING_LINE_MAX + 1];
} emitter;

static void poke(int event_fd)
{
	(void)!write(event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

static bool is_behind(void)
{
	return atomic_load(&emitter.ring->header->head) != emitter.next.position;
}

static void note_gap(const struct ring_entry *entry)
{
	if (entry->seq <= emitter.next.seq + 1)
		return;
	render_dropped(&emitter.renderer, emitter.next.seq + 1, entry->seq - 1, entry->wall_us,
		       &emitter.batch);
	emitter.next.n_dropped += entry->seq - 1 - emitter.next.seq;
}

/* False: the ring has nothing that the output has not. */
static bool fill_batch(void)
{
	struct ring_entry entry;
	bool has_any = false;

	strbuf_reset(&emitter.batch);
	emitter.written = 0;
	if (emitter.is_torn)
		strbuf_addc(&emitter.batch, '\n');
	while (emitter.batch.length + 2 * RENDER_MAX < BATCH_MAX &&
	       ring_read(emitter.ring, &emitter.next.position, &entry, emitter.text)) {
		note_gap(&entry);
		emitter.next.seq = entry.seq;
		render_entry(&emitter.renderer, &entry, emitter.text, &emitter.batch);
		has_any = true;
	}
	emitter.next.open_id = emitter.renderer.open_id;
	return has_any;
}

/* The description may be non-blocking already: whoever gave it to us decided that. */
static int wait_writable(void)
{
	struct pollfd poll_fd = {.fd = emitter.output_fd, .events = POLLOUT};

	if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* Goes on where the last try ended. 0 or -errno. */
static int write_batch(void)
{
	while (emitter.written < emitter.batch.length) {
		ssize_t n = write(emitter.output_fd, emitter.batch.data + emitter.written,
				  emitter.batch.length - emitter.written);
		if (n >= 0) {
			emitter.written += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		int r = wait_writable();
		if (r < 0)
			return r;
	}
	return 0;
}

static void count_batch(void)
{
	CRASH_POINT("log-emitted");
	ring_write_emission(emitter.ring, &emitter.next);
	CRASH_POINT("log-emission-counted");
	atomic_store(&emitter.ring->header->in_flight, 0);
	atomic_thread_fence(memory_order_seq_cst);
	emitter.is_torn = false;
	if (atomic_exchange(&emitter.is_awaited, false))
		poke(emitter.moved_fd);
}

static void note_failure(int error)
{
	if (!emitter.is_broken)
		event_emit(
			EVENT_ERROR, "log-output-failed", NULL,
			"cannot write to the output: %s; lines stay in the ring, and new ones make "
			"it be tried again",
			strerror(error));
	emitter.retry_us =
		emitter.is_broken ? MIN(emitter.retry_us * 2, RETRY_MAX_US) : RETRY_FIRST_US;
	emitter.retry_at_us = clock_now_us() + emitter.retry_us;
	emitter.is_broken = true;
}

static void note_success(void)
{
	if (emitter.is_broken)
		event_emit(EVENT_NOTICE, "log-output-back", NULL, "the output takes lines again");
	emitter.is_broken = false;
}

/* One batch, a new one or one that could not be written before. 0 or -errno. */
static int emit_batch(void)
{
	atomic_store(&emitter.ring->header->in_flight, emitter.next.seq);
	CRASH_POINT("log-emit");
	int r = write_batch();
	if (r < 0) {
		note_failure(-r);
		return r;
	}
	note_success();
	count_batch();
	return 0;
}

static bool may_try(void)
{
	return !emitter.is_broken || atomic_load(&emitter.is_stopping) ||
	       clock_now_us() >= emitter.retry_at_us;
}

/* Sleeps until emit_wake or emit_stop. The flag is set before the last look, and emit_wake looks at
 * it after the change: one of the two sees the other. */
static void wait_for_lines(void)
{
	uint64_t count;

	atomic_store(&emitter.is_waiting, true);
	atomic_thread_fence(memory_order_seq_cst);
	bool has_work = is_behind() && !emitter.is_broken;
	if (!has_work && !atomic_load(&emitter.is_stopping))
		(void)!read(emitter.wake_fd, &count, sizeof(count));
	atomic_store(&emitter.is_waiting, false);
}

static void *emit_main(void *unused)
{
	bool is_pending = false; /* a batch that is not written yet */

	(void)unused;
	for (;;) {
		bool is_last = atomic_load(&emitter.is_stopping);
		if (may_try()) {
			while (is_pending || fill_batch()) {
				is_pending = emit_batch() < 0;
				if (is_pending)
					break;
			}
		}
		if (is_last)
			break;
		wait_for_lines();
	}
	poke(emitter.done_fd);
	return NULL;
}

void emit_wake(void)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_exchange(&emitter.is_waiting, false))
		poke(emitter.wake_fd);
}

/* Half of the ring: one turn of ordinary lines takes up far less than the other half. */
static bool is_crowded(uint64_t *ret_position)
{
	uint64_t position = ring_read_emission(emitter.ring).position;

	*ret_position = position;
	return atomic_load(&emitter.ring->header->head) - position > emitter.ring->size / 2;
}

/* Whether there was time left to be waited in vain; it is spent then. */
static bool spend_wait(void)
{
	uint64_t now = clock_now_us();
	uint64_t refill = (now - emitter.refilled_us) / WAY_REFILL;

	emitter.budget_us = MIN(emitter.budget_us + refill, WAY_BUDGET_US);
	emitter.refilled_us = now;
	if (emitter.budget_us < WAY_WAIT_MS * USEC_PER_MSEC)
		return false;
	emitter.budget_us -= WAY_WAIT_MS * USEC_PER_MSEC;
	return true;
}

void emit_make_way(void)
{
	struct pollfd poll_fd = {.fd = emitter.moved_fd, .events = POLLIN};
	uint64_t position, before, count;

	while (is_crowded(&before) && before != emitter.stuck_at) {
		emit_wake();
		atomic_store(&emitter.is_awaited, true);
		atomic_thread_fence(memory_order_seq_cst);
		if (!is_crowded(&position) || position != before)
			continue;
		if (poll(&poll_fd, 1, WAY_WAIT_MS) == 0 && !spend_wait())
			emitter.stuck_at = before;
		(void)!read(emitter.moved_fd, &count, sizeof(count));
	}
	atomic_store(&emitter.is_awaited, false);
}

static int start_thread(void)
{
	pthread_attr_t attributes;
	pthread_t thread;

	int r = pthread_attr_init(&attributes);
	if (r != 0)
		return -r;
	(void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	/* A limit on processes that somebody has reached is no reason to die, and be started again
	 * as often as makes log hopeless. */
	while ((r = pthread_create(&thread, &attributes, emit_main, NULL)) == EAGAIN)
		(void)poll(NULL, 0, THREAD_AGAIN_MS);
	(void)pthread_attr_destroy(&attributes);
	return -r;
}

int emit_start(struct ring *ring, const struct plan *plan, int output_fd)
{
	emitter.ring = ring;
	emitter.output_fd = output_fd;
	emitter.next = ring_read_emission(ring);
	emitter.is_torn = atomic_load(&ring->header->in_flight) != 0;
	renderer_init(&emitter.renderer, plan);
	/* After a torn write the newline that begins the next has ended it. */
	emitter.renderer.open_id = emitter.is_torn ? 0 : emitter.next.open_id;
	strbuf_init(&emitter.batch, emitter.batch_data, sizeof(emitter.batch_data));
	emitter.wake_fd = eventfd(0, EFD_CLOEXEC);
	emitter.moved_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	emitter.done_fd = eventfd(0, EFD_CLOEXEC);
	emitter.stuck_at = UINT64_MAX;
	if (emitter.wake_fd < 0 || emitter.moved_fd < 0 || emitter.done_fd < 0)
		return -errno;
	return start_thread();
}

bool emit_stop(int wait_ms)
{
	struct pollfd poll_fd = {.fd = emitter.done_fd, .events = POLLIN};

	atomic_store(&emitter.is_stopping, true);
	poke(emitter.wake_fd);
	return poll(&poll_fd, 1, wait_ms) == 1;
}
