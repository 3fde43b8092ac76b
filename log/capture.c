#include "log/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/io.h"
#include "lib/store.h"
#include "log/line.h"
#include "log/split.h"

/*
 * The area is shared memory that outlives this process:
 *
 *	header | a state for each stream | landing, 64 KiB | a slot for each stream
 *
 * One turn serves one stream. Its number is written first; then splice(2) moves the pipe's bytes
 * into the landing and the kernel itself stores how far it got into turn_end, inside the call. A
 * process that is killed around it leaves either the bytes in the pipe or bytes in the landing that
 * turn_end knows of: there is no instruction between. Lines are then cut out of the landing and
 * appended to the ring; what has no end yet is moved to the stream's slot (sparse: a stream that
 * writes whole lines never touches its slot).
 *
 * A step must change three things at once: the ring, turn_consumed, and the stream's state. It
 * writes down first what they shall be (the commit), with the seq that the line will have. A
 * successor finds the commit, sees by the ring's last seq whether the line got there, and either
 * finishes the step or forgets it. The source of a copy is never overwritten before its commit
 * stands, so a step that was forgotten can be done again.
 *
 * Lines are scrubbed on their way from here to the ring (log/line.h). That a step is done again, it
 * may be after a secret was added, changes nothing of the above: its first try was never seen.
 *
 * No store below may pass another: they are ordered by atomics and ORDERED(), which is all that a
 * death by SIGKILL needs, since the memory outlives the process and the stores that it retired.
 */

#define CAPTURE_MAGIC	UINT64_C(0x657275747061636c)
#define CAPTURE_VERSION 2
#define LANDING_SIZE	(64U << 10)
#define SLOT_SIZE	(32U << 10)
#define SLOT_KEEP	4096 /* a slot that grew beyond this gives its memory back when it empties */
#define ALIGNMENT	(64U << 10) /* the largest page size */

_Static_assert(SPLIT_TEXT_MAX + SCRUB_AHEAD < SLOT_SIZE / 2, "what is kept of a line can be moved");

#define ORDERED() atomic_signal_fence(memory_order_seq_cst)

struct stream_state {
	uint32_t start, end; /* the unfinished line's bytes in the slot */
	uint32_t part;	     /* so many parts of it are in the ring already */
	int32_t pid;	     /* who began it */
	uint64_t part_id;
	struct line_carry carry; /* what its last part's end says of its start */
};

enum commit_kind {
	COMMIT_NONE,
	COMMIT_MOVE, /* holds as it stands */
	COMMIT_LINE, /* holds if the ring has got as far as seq */
};

struct capture_area {
	uint64_t magic;
	uint32_t version;
	uint32_t n_streams;

	uint32_t turn_stream;
	uint32_t reserved;
	/* File offsets. Bytes between the two are this process's to bring in. */
	int64_t turn_end, turn_consumed;

	_Atomic uint32_t commit_kind;
	uint32_t commit_stream;
	uint64_t commit_seq;
	int64_t commit_consumed;
	struct stream_state commit_state;

	struct stream_state streams[];
};

/* One step's view of the stream: what its line has so far, in one piece. */
struct view {
	const char *text;
	uint32_t length;
	uint32_t fresh;	  /* how much of it comes from the landing and is not consumed yet */
	bool is_complete; /* the line's end was seen behind it */
	bool is_in_slot;
};

static size_t round_up(size_t size)
{
	return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static size_t landing_offset(uint32_t n_streams)
{
	return round_up(sizeof(struct capture_area) + n_streams * sizeof(struct stream_state));
}

static size_t area_size(uint32_t n_streams)
{
	return landing_offset(n_streams) + LANDING_SIZE + (size_t)n_streams * SLOT_SIZE;
}

/* ---------------------------------------------------------------- commits */

static void finish_commit(struct capture *capture)
{
	struct capture_area *area = capture->area;

	area->streams[area->commit_stream] = area->commit_state;
	area->turn_consumed = area->commit_consumed;
	atomic_store_explicit(&area->commit_kind, COMMIT_NONE, memory_order_release);
	ORDERED();
}

static void prepare_commit(struct capture *capture, enum commit_kind kind, uint32_t stream,
			   const struct stream_state *state, uint32_t consumed)
{
	struct capture_area *area = capture->area;

	area->commit_stream = stream;
	area->commit_state = *state;
	area->commit_consumed = area->turn_consumed + consumed;
	area->commit_seq = atomic_load(&capture->ring->header->last_seq) + 1;
	atomic_store_explicit(&area->commit_kind, kind, memory_order_release);
	ORDERED();
}

static void commit_move(struct capture *capture, uint32_t stream, const struct stream_state *state,
			uint32_t consumed)
{
	CRASH_POINT("log-moved");
	prepare_commit(capture, COMMIT_MOVE, stream, state, consumed);
	CRASH_POINT("log-move-begun");
	finish_commit(capture);
}

static void commit_line(struct capture *capture, uint32_t stream, const struct stream_state *state,
			uint32_t consumed, struct ring_entry *entry, const char *text)
{
	prepare_commit(capture, COMMIT_LINE, stream, state, consumed);
	CRASH_POINT("log-line-begun");
	ring_append(capture->ring, entry, text);
	CRASH_POINT("log-line-appended");
	finish_commit(capture);
	CRASH_POINT("log-line-done");
}

/* ---------------------------------------------------------------- lines */

static char *slot_of(const struct capture *capture, uint32_t stream)
{
	return capture->slots + (size_t)stream * SLOT_SIZE;
}

/* Gives the memory of a slot that had grown back to the kernel; its content is of no use then. */
static void release_slot(const struct capture *capture, uint32_t stream, uint32_t used)
{
	off_t offset = slot_of(capture, stream) - (const char *)capture->area;

	if (used > SLOT_KEEP)
		(void)fallocate(capture->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
				SLOT_SIZE);
}

static int32_t pid_of(const struct capture *capture, uint32_t stream)
{
	if (stream / 2 >= capture->n_units)
		return 0;
	return atomic_load_explicit(&capture->board->slots[stream / 2][SLOT_MAIN],
				    memory_order_relaxed);
}

static struct ring_entry new_entry(const struct capture *capture, uint32_t stream)
{
	struct ring_entry entry = {.wall_us = capture->wall_us};

	if (stream < capture->n_units * 2) {
		entry.unit = stream / 2;
		entry.stream = stream % 2;
	} else {
		entry.unit = stream - capture->n_units * 2;
		entry.stream = STREAM_STDERR;
		entry.flags = RING_IS_OWN;
	}
	return entry;
}

/* What the piece stands for of the view goes into the ring; the rest stays in the slot or landing. */
static void put_line(struct capture *capture, uint32_t stream, const struct view *view,
		     const struct line *line, uint32_t flags)
{
	const struct stream_state *now = &capture->area->streams[stream];
	struct ring_entry entry = new_entry(capture, stream);
	uint32_t old = view->length - view->fresh; /* of it came from the slot */
	uint32_t used = now->end;
	bool is_end = view->is_complete && line->taken == view->length;
	struct stream_state next = {0};
	uint32_t consumed = 0;

	entry.flags |= flags | line->flags;
	entry.length = line->length;
	entry.pid = now->pid ? now->pid : pid_of(capture, stream);
	if (now->part > 0 || !is_end) {
		entry.flags |= RING_PART | (is_end ? RING_LAST : 0);
		entry.part = now->part + 1;
		entry.part_id = now->part_id; /* 0: its own seq, as ring_append fills in */
	}
	if (!is_end) {
		next.part = entry.part;
		next.pid = entry.pid;
		next.part_id = now->part_id ? now->part_id
					    : atomic_load(&capture->ring->header->last_seq) + 1;
		next.carry = line->carry;
	}
	if (line->taken >= old) {
		consumed = line->taken - old;
	} else {
		next.start = now->start + line->taken;
		next.end = now->end;
	}
	/* The newline itself, which no part but the last takes along. */
	if (is_end && !(flags & RING_NO_END))
		consumed++;
	commit_line(capture, stream, &next, consumed, &entry, line->text);
	if (line->n_hidden > 0)
		atomic_fetch_add(&capture->ring->header->n_hidden, line->n_hidden);
	if (next.end == 0)
		release_slot(capture, stream, used);
}

/* The line goes on later: what came is kept in the slot, where it already stands. */
static void keep_rest(struct capture *capture, uint32_t stream, const struct view *view)
{
	struct stream_state next = capture->area->streams[stream];

	if (!view->is_in_slot) {
		memcpy(slot_of(capture, stream), view->text, view->length);
		next.start = 0;
		next.end = 0;
	}
	if (next.pid == 0)
		next.pid = pid_of(capture, stream);
	next.end += view->fresh;
	commit_move(capture, stream, &next, view->fresh);
}

/*
 * After a cut that left bytes in the slot: moves them to its start, once they fit before
 * themselves, so that the copy can be done again. They are at most SPLIT_TEXT_MAX and SCRUB_AHEAD,
 * less than half of the slot, so there is always room for more: either they can be moved or the slot's end is far.
 */
static void compact_slot(struct capture *capture, uint32_t stream)
{
	struct stream_state next = capture->area->streams[stream];
	uint32_t length = next.end - next.start;
	char *slot = slot_of(capture, stream);

	if (next.start == 0 || next.start < length)
		return;
	memcpy(slot, slot + next.start, length);
	next.start = 0;
	next.end = length;
	commit_move(capture, stream, &next, 0);
}

/* The view of the line that starts with what the slot holds and goes on in data. */
static struct view look(const struct capture *capture, uint32_t stream, const char *data,
			uint32_t length, bool has_end)
{
	const struct stream_state *now = &capture->area->streams[stream];
	char *slot = slot_of(capture, stream);

	if (now->end == now->start) {
		uint32_t taken = length < RING_LINE_MAX ? length : RING_LINE_MAX;
		return (struct view){.text = data,
				     .length = taken,
				     .fresh = taken,
				     .is_complete = has_end && taken == length};
	}
	uint32_t room = SLOT_SIZE - now->end;
	uint32_t taken = length < room ? length : room;
	memcpy(slot + now->end, data, taken);
	return (struct view){.text = slot + now->start,
			     .length = now->end - now->start + taken,
			     .fresh = taken,
			     .is_complete = has_end && taken == length,
			     .is_in_slot = true};
}

/* Whether the text is, or may become, one object that is kept in one piece. */
static bool is_object_so_far(const struct capture *capture, uint32_t stream,
			     const struct view *view)
{
	return capture->area->streams[stream].part == 0 && view->length <= SPLIT_TEXT_MAX &&
	       split_may_be_object(view->text, view->length);
}

/* The whole line as an object, if it is one. */
static bool put_object(struct capture *capture, uint32_t stream, const struct view *view,
		       uint32_t flags)
{
	struct line line;

	if (!line_as_object(capture->scrubber, view->text, view->length, &line))
		return false;
	put_line(capture, stream, view, &line, flags);
	return true;
}

/* As much as fits, at most fit bytes of it. */
static void put_text(struct capture *capture, uint32_t stream, const struct view *view,
		     uint32_t fit, uint32_t flags)
{
	struct line line;

	line_as_text(capture->scrubber, view->text, view->length, fit,
		     capture->area->streams[stream].carry, &line);
	put_line(capture, stream, view, &line, flags);
}

/* One step: a line, a part of one, or bytes put by. Each is one commit. */
static void step(struct capture *capture, uint32_t stream, const char *data, uint32_t length,
		 bool has_end)
{
	compact_slot(capture, stream);
	struct view view = look(capture, stream, data, length, has_end);

	if (is_object_so_far(capture, stream, &view)) {
		if (!view.is_complete) {
			keep_rest(capture, stream, &view);
			return;
		}
		if (put_object(capture, stream, &view, 0))
			return;
	}
	uint32_t fit = (uint32_t)split_fit(view.text, view.length, !view.is_complete);
	/* Behind a cut as much must be known as a secret could still go on for. */
	if (!view.is_complete && fit + SCRUB_AHEAD > view.length)
		keep_rest(capture, stream, &view);
	else
		put_text(capture, stream, &view, fit, 0);
}

/* Brings in what lies in the landing. Also where a successor starts. */
static void bring_in(struct capture *capture)
{
	struct capture_area *area = capture->area;
	int64_t base = capture->landing - (char *)area;

	while (area->turn_consumed < area->turn_end) {
		const char *data = capture->landing + (area->turn_consumed - base);
		size_t length = (size_t)(area->turn_end - area->turn_consumed);
		const char *end = memchr(data, '\n', length);
		if (end)
			length = (size_t)(end - data);
		step(capture, area->turn_stream, data, (uint32_t)length, end != NULL);
	}
}

void capture_finish(struct capture *capture, uint32_t stream)
{
	/* A part may be all that there is, its end still to come: then the end is empty. */
	while (capture->area->streams[stream].end > 0 || capture->area->streams[stream].part > 0) {
		struct view view = look(capture, stream, "", 0, true);
		if (is_object_so_far(capture, stream, &view) &&
		    put_object(capture, stream, &view, RING_NO_END))
			continue;
		uint32_t fit = (uint32_t)split_fit(view.text, view.length, false);
		put_text(capture, stream, &view, fit, fit == view.length ? RING_NO_END : 0);
	}
}

/* ---------------------------------------------------------------- turns */

/* Between the two stores both offsets say that nothing is there to bring in. */
static void begin_turn(struct capture *capture, uint32_t stream)
{
	struct capture_area *area = capture->area;
	int64_t base = capture->landing - (char *)area;

	*(volatile int64_t *)&area->turn_end = base;
	ORDERED();
	*(volatile int64_t *)&area->turn_consumed = base;
	ORDERED();
	*(volatile uint32_t *)&area->turn_stream = stream;
	ORDERED();
	CRASH_POINT("log-turn");
}

static ssize_t take_by_read(struct capture *capture, int pipe_fd)
{
	ssize_t n = read(pipe_fd, capture->landing, LANDING_SIZE);

	if (n > 0)
		capture->area->turn_end += n;
	return n;
}

static ssize_t take_bytes(struct capture *capture, int pipe_fd)
{
	ssize_t n;

	do {
		n = capture->has_splice
			    ? splice(pipe_fd, NULL, capture->fd, &capture->area->turn_end,
				     LANDING_SIZE, SPLICE_F_NONBLOCK)
			    : take_by_read(capture, pipe_fd);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* A line that another process began will not be finished by this one: the unit was restarted. */
static void part_with_the_dead(struct capture *capture, uint32_t stream)
{
	const struct stream_state *state = &capture->area->streams[stream];
	int32_t pid = pid_of(capture, stream);

	if (state->pid != 0 && pid != 0 && pid != state->pid)
		capture_finish(capture, stream);
}

ssize_t capture_take(struct capture *capture, uint32_t stream, int pipe_fd)
{
	begin_turn(capture, stream);
	ssize_t n = take_bytes(capture, pipe_fd);
	CRASH_POINT("log-spliced");
	if (n <= 0)
		return n;
	capture->wall_us = clock_wall_us();
	part_with_the_dead(capture, stream);
	bring_in(capture);
	return n;
}

/* ---------------------------------------------------------------- opening */

/* The kernel, a sandbox or a profile may lack it: tried on the area itself, with an empty pipe. */
static bool probe_splice(const struct capture *capture)
{
	int pipe_fds[2];
	off_t offset = capture->landing - (char *)capture->area;

	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return true;
	ssize_t n = splice(pipe_fds[0], NULL, capture->fd, &offset, 1, SPLICE_F_NONBLOCK);
	bool has = n >= 0 || errno == EAGAIN;
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	return has;
}

static bool area_fits(const struct capture_area *area, uint32_t n_streams)
{
	int64_t base = (int64_t)landing_offset(n_streams);
	int64_t end = base + LANDING_SIZE;

	return area->magic == CAPTURE_MAGIC && area->version == CAPTURE_VERSION &&
	       area->n_streams == n_streams && area->turn_stream < n_streams &&
	       area->turn_end >= base && area->turn_end <= end && area->turn_consumed >= base &&
	       area->turn_consumed <= end && area->commit_stream < n_streams;
}

static int format(int fd, uint32_t n_streams)
{
	int64_t base = (int64_t)landing_offset(n_streams);
	struct capture_area area = {
		.version = CAPTURE_VERSION,
		.n_streams = n_streams,
		.turn_end = base,
		.turn_consumed = base,
	};
	uint64_t magic = CAPTURE_MAGIC;

	if (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)area_size(n_streams)) < 0)
		return -errno;
	if (pwrite(fd, &area, sizeof(area), 0) < 0 || pwrite(fd, &magic, sizeof(magic), 0) < 0)
		return -errno;
	return 0;
}

static int map(struct capture *capture)
{
	char *base = mmap(NULL, area_size(capture->n_streams), PROT_READ | PROT_WRITE, MAP_SHARED,
			  capture->fd, 0);

	if (base == MAP_FAILED)
		return -errno;
	capture->area = (struct capture_area *)base;
	capture->landing = base + landing_offset(capture->n_streams);
	capture->slots = capture->landing + LANDING_SIZE;
	return 0;
}

/* 0: as the last process left it. 1: made anew; something was there. 2: made anew. */
static int format_if_needed(int fd, uint32_t n_streams)
{
	struct capture_area area = {0};
	struct stat st;

	if (fstat(fd, &st) < 0 || pread(fd, &area, sizeof(area), 0) < 0)
		return -errno;
	if ((size_t)st.st_size == area_size(n_streams) && area_fits(&area, n_streams))
		return 0;
	int r = format(fd, n_streams);
	if (r < 0)
		return r;
	return area.magic ? 1 : 2;
}

static void recover(struct capture *capture)
{
	struct capture_area *area = capture->area;
	uint64_t last_seq = atomic_load(&capture->ring->header->last_seq);
	uint32_t kind = atomic_load(&area->commit_kind);

	if (kind == COMMIT_MOVE || (kind == COMMIT_LINE && area->commit_seq == last_seq))
		finish_commit(capture);
	atomic_store(&area->commit_kind, COMMIT_NONE);
	bring_in(capture);
}

int capture_open(struct capture *capture, int fd, struct ring *ring, const struct board *board,
		 uint32_t n_units, struct scrubber *scrubber)
{
	uint32_t n_streams = stream_count(n_units);
	int formatted = format_if_needed(fd, n_streams);

	if (formatted < 0)
		return formatted;
	*capture = (struct capture){
		.fd = fd,
		.ring = ring,
		.board = board,
		.n_units = n_units,
		.n_streams = n_streams,
		.scrubber = scrubber,
		.wall_us = clock_wall_us(),
	};
	int r = map(capture);
	if (r < 0)
		return r;
	capture->has_splice = probe_splice(capture);
	recover(capture);
	return formatted == 1 ? 1 : 0;
}
