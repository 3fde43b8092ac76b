#pragma once
/*
 * The ring: the instance's last lines, structured and scrubbed, in a 0444 file where there can be
 * one. One writer (holdfast-log), any number of readers that it does not know of.
 *
 * Positions are byte counts since boot; a position modulo the ring's size is where it lies. The
 * writer moves tail past what it is about to overwrite, then writes, then moves head. A reader
 * copies a record out and then looks whether tail has passed it: if so, it was lost, and the jump
 * in seq says how many. So the writer waits for nobody and a reader never returns a torn line. A
 * writer that dies at any instruction leaves whole records alone: what it had not published yet is
 * not there.
 *
 * Readers trust nothing: positions and lengths are checked against the mapping before use.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_LINE_MAX 16384 /* longer lines come in parts */

/* ring_entry.flags */
#define RING_IS_JSON (1U << 0) /* text is one JSON object, but for white space around it */
#define RING_IS_OWN  (1U << 1) /* an event of holdfast itself */
#define RING_PART    (1U << 2) /* part of a line that was too long: part_id and part hold */
#define RING_NO_END  (1U << 3) /* the writer died or closed before the line's end */
#define RING_LAST    (1U << 4) /* with RING_PART: the last one, so the line has `part` parts */
#define RING_HAS_KEY (1U << 5) /* with RING_IS_JSON: it has a member "holdfast" of its own */

struct ring_entry {
	uint64_t seq; /* from 1, without gaps as written */
	uint64_t wall_us;
	uint32_t unit;	 /* plan index; for RING_IS_OWN: enum role */
	uint32_t stream; /* STREAM_STDOUT or STREAM_STDERR */
	int32_t pid;	 /* the unit's main process when the line was read, or 0 */
	uint32_t flags;
	uint64_t part_id; /* seq of the first part */
	uint32_t part;	  /* from 1 */
	uint32_t length;  /* of the text */
};

/* How far the output got. */
struct ring_emission {
	uint64_t position;  /* up to which the output has it or lost it for good */
	uint64_t seq;	    /* of the last record before that position */
	uint64_t n_dropped; /* lines up to there that the output never got */
	uint64_t open_id;   /* the long line whose parts stand at the output's end without a
			       newline, as the raw format has them; 0: none */
};

struct ring_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;	     /* where the data starts: a page of its own */
	uint64_t size;		     /* of the data, a power of two */
	_Atomic uint64_t head, tail; /* positions: end of the newest, start of the oldest record */
	_Atomic uint64_t last_seq;   /* of the newest record: so many lines were taken in */
	_Atomic uint32_t emission;   /* which of the two holds */
	uint32_t reserved;
	struct ring_emission emissions[2];
	_Atomic uint64_t in_flight; /* seq up to which a write to the output was begun; 0: none */
	_Atomic uint64_t n_hidden;  /* values of secrets that were hidden in lines */
};

/* data is mapped twice, one copy behind the other, so that no record is ever in two pieces. */
struct ring {
	struct ring_header *header;
	unsigned char *data;
	uint64_t size;
};

/* The size of the file of a ring that is made for bytes. */
uint64_t ring_file_size(uint64_t bytes);

/* Sizes, reserves and fills a ring whose data holds at least bytes (rounded up to a power of two, at least
 * 64 KiB, at most 1 GiB). What was in the file is gone. 0, -ENOSPC, or
 * -errno. */
int ring_format(int fd, uint64_t bytes);
/* Maps it and checks its header. 0, -EBADMSG (not a ring, or not formatted yet) or -errno. */
int ring_map(int fd, bool is_writable, struct ring *ret_ring);
/* A new writer, before its first append: walks the records and mends what the last writer had not
 * finished. 0, or -EBADMSG when they make no sense. */
int ring_recover(struct ring *ring);

/* The writer. Publishes the record; entry->seq is filled in, and entry->part_id where a part has
 * none yet. entry->length <= RING_LINE_MAX. */
void ring_append(struct ring *ring, struct ring_entry *entry, const char *text);

/*
 * A reader. *cursor is a position: start with ring_oldest. Copies the record there to *ret_entry
 * and its text to text (at least RING_LINE_MAX + 1 bytes; NUL is added) and moves the cursor behind
 * it. True; false at the end. A cursor that was overtaken jumps to the oldest record.
 */
uint64_t ring_oldest(const struct ring *ring);
bool ring_read(const struct ring *ring, uint64_t *cursor, struct ring_entry *ret_entry, char *text);

/* The emitting side: one writer, which publishes all three numbers at once. */
struct ring_emission ring_read_emission(const struct ring *ring);
void ring_write_emission(struct ring *ring, const struct ring_emission *next);
/* For metrics: lines that the output never got, those included that a blocked output has not
 * noticed yet. */
uint64_t ring_dropped(const struct ring *ring);
