#pragma once
/*
 * How fast a run asks a service that says "slow down". All its calls share one backoff with full
 * jitter, and one call at a time comes back out of it: of several calls that are sent together into
 * an empty quota each one but the first is for nothing. What is answered opens the window again, one
 * call at a time.
 *
 * Who has got an answer already waits less than who has not (PACE_BEGUN_MS): a unit gets all of its
 * secrets or none, so what a fleet has fetched in part helps nobody yet. docs/fleet.md has what each
 * of this is worth. Pure: it keeps no time and draws nothing itself.
 */
#include <stdbool.h>
#include <stdint.h>

#define PACE_FIRST_MS 1000U  /* the first wait is below it, the next below twice that, … */
#define PACE_MAX_MS   20000U /* … and never longer */
#define PACE_BEGUN_MS 4000U  /* nor than this, once something was answered */

struct pace {
	unsigned window_max, window; /* calls at once */
	unsigned throttled;	     /* in a row */
	bool has_begun;
	uint64_t quiet_until_us; /* nothing is sent before */
};

void pace_init(struct pace *pace, unsigned window_max);
void pace_answered(struct pace *pace);
/* A call was throttled, at now_us; random: 32 random bits; not before at_least_ms from now. When to
 * ask again. Calls that were under way with one that was throttled already change nothing. */
uint64_t pace_throttled(struct pace *pace, uint64_t now_us, uint32_t random, uint32_t at_least_ms);
/* Milliseconds below the bound of that many failures before (0: the first); at most max_ms. */
uint32_t pace_jitter_ms(unsigned failures, uint32_t max_ms, uint32_t random);
