#pragma once
/*
 * When something about secrets is done again, so that a fleet whose instances start in one minute does
 * not ask in one second, nor restart in one: each time is drawn. Pure but for spread_draw; random is any
 * 64 bits, times are microseconds of lib/clock.h.
 */
#include <stdint.h>

/* Random bits: jitter, not a secret. */
uint64_t spread_draw(void);

/* How long until the next try after that many failures (1: the first): full jitter, anything up to a
 * bound that starts at a second and doubles up to most_us, and beyond what the service asked for. */
uint64_t spread_backoff(uint32_t failures, uint64_t most_us, uint32_t retry_ms, uint64_t random);

/* How long until the next look: period_us with a tenth more or less. */
uint64_t spread_look(uint64_t period_us, uint64_t random);

/* When a change that was seen now is applied: within splay_us. One that is pending already
 * (USEC_INFINITY: none) is not put off by another, or a secret that changes often would never get there;
 * what is newest is applied in any case. */
uint64_t spread_change(uint64_t pending_us, uint64_t now_us, uint64_t splay_us, uint64_t random);
