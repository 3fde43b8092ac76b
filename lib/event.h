#pragma once
/*
 * holdfast's own lines. Every process of ours says what it did as one JSON object a line on its
 * stderr, in one write of at most PIPE_BUF bytes, so that lines of several writers never mix:
 *
 *   {"level":"info","event":"unit-started","unit":"nginx.service","msg":"…", …}
 *
 * Once holdfast-log runs, stderr is a pipe that it captures like any service's (so a line outlives
 * both ends); before that, and in `--` mode, it is the stderr that the runtime gave. The pipe's
 * description is ours and non-blocking: a line that does not fit is counted, and the count stands
 * in the next line that does ("lost"). Nothing here blocks, allocates or fails.
 */
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

enum event_level { EVENT_DEBUG, EVENT_INFO, EVENT_NOTICE, EVENT_WARNING, EVENT_ERROR, EVENT_COUNT };

extern const char *const event_level_names[EVENT_COUNT];

/*
 * How a line looks on the stderr that holdfast was given, in the order of lib/plan.h's enum
 * log_format: JSON with its time; `holdfast: msg`, as a person at a terminal expects it; the same of
 * warnings and errors alone, beside a command's own output. And how holdfast-log wants it, which adds
 * time and seq and renders it.
 */
enum event_format { EVENT_JSON, EVENT_PLAIN, EVENT_RAW, EVENT_FOR_LOG };

/* Once, at the start of main, and again when the format changes: the name of this program in every
 * line ("by"). name is borrowed. */
void event_init(const char *name, enum event_format format);

/*
 * From now on every line is also a record of the kernel's log, as JSON, whatever it looks like on
 * stderr: the first second of a machine, of which nobody keeps a ring yet, is then in the dump. fd is
 * /dev/kmsg, borrowed; -1: no more.
 */
void event_copy_to_kernel_log(int fd);

/*
 * One line. event is a fixed, kebab-case word that alerts can be keyed on; unit may be NULL; the
 * rest is a sentence for people. Never a value of a secret.
 */
void event_emit(enum event_level level, const char *event, const char *unit, const char *format,
		...) __attribute__((format(printf, 4, 5)));

/* The next line carries "key":value too. At most 8; keys and text are borrowed until then. */
void event_with_string(const char *key, const char *value);
void event_with_i64(const char *key, int64_t value);

/* Forgets what was set for the next line. */
void event_discard(void);

/* Whole lines on their way to stderr. In memory that outlives its writer they do so too: who takes
 * the box over writes them, and one that was just written may then be written twice. */
struct event_box {
	_Atomic uint32_t length;
	uint32_t n_lines; /* that are lost if these are */
	char text[PIPE_BUF];
};

/*
 * From now on lines wait in the box, until it is full, one of them is a warning, or event_flush writes
 * them in one piece: whoever says a thousand things at once wakes its reader a few times. The caller
 * flushes before it waits for anything. The box is borrowed; NULL: each line is written at once again
 * (for a fork, which has its parent's box but none of its lines).
 */
void event_hold(struct event_box *box);
void event_flush(void);
/* Is called before lines that waited are written: what they tell of has to be so by then. */
void event_before_flush(void (*run)(void));
