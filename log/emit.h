#pragma once
/*
 * From the ring to the output that holdfast was given, by a thread of its own: its writes block,
 * so that nobody has to set O_NONBLOCK on a description that others share, and a reader who stops
 * stops this thread alone.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/plan.h"
#include "lib/ring.h"

/* Starts the thread; ring, plan and fd are borrowed for good. Called once. 0 or -errno. */
int emit_start(struct ring *ring, const struct plan *plan, int output_fd);

/* There is something new in the ring. Cheap. */
void emit_wake(void);

/*
 * For the gathering thread, before it takes more: when half of the ring is waiting to be emitted and
 * the output does move, lets the emitting thread catch up. A burst is then slowed down to what the
 * output takes and not dropped. What is waited in vain is bounded: 100 ms at once, and 5 % of the
 * time in the long run; then lines are dropped. So an output that stands still costs 100 ms once.
 */
void emit_make_way(void);

/* Asks the thread to write out what the ring has and to end. True when it did within wait_ms. */
bool emit_stop(int wait_ms);
