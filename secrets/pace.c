#include "secrets/pace.h"

#include "lib/clock.h"
#include "lib/cleanup.h"

#define DOUBLINGS_MAX 16 /* beyond it every bound is the largest */

void pace_init(struct pace *pace, unsigned window_max)
{
	*pace = (struct pace){.window_max = window_max, .window = window_max};
}

void pace_answered(struct pace *pace)
{
	pace->has_begun = true;
	pace->throttled = 0;
	pace->window = MIN(pace->window + 1, pace->window_max);
}

uint32_t pace_jitter_ms(unsigned failures, uint32_t max_ms, uint32_t random)
{
	uint64_t bound = (uint64_t)PACE_FIRST_MS << MIN(failures, DOUBLINGS_MAX);

	return (uint32_t)(random % (MIN(bound, max_ms) + 1));
}

uint64_t pace_throttled(struct pace *pace, uint64_t now_us, uint32_t random, uint32_t at_least_ms)
{
	uint32_t max_ms = pace->has_begun ? PACE_BEGUN_MS : PACE_MAX_MS;
	uint64_t least_us = now_us + at_least_ms * USEC_PER_MSEC;

	if (now_us >= pace->quiet_until_us) {
		uint32_t wait_ms = pace_jitter_ms(pace->throttled, max_ms, random);
		pace->throttled++;
		pace->window = 1;
		pace->quiet_until_us = now_us + wait_ms * USEC_PER_MSEC;
	}
	pace->quiet_until_us = MAX(pace->quiet_until_us, least_us);
	return pace->quiet_until_us;
}
