#include "supervisor/spread.h"

#include <sys/random.h>

#include "lib/cleanup.h"
#include "lib/clock.h"

#define BACKOFF_FIRST_US (1 * USEC_PER_SEC)
#define BACKOFF_LEAST_US (50 * USEC_PER_MSEC)

uint64_t spread_draw(void)
{
	uint64_t value;

	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value))
		value = clock_now_us() * UINT64_C(0x9e3779b97f4a7c15);
	return value;
}

static uint64_t below(uint64_t bound, uint64_t random)
{
	return bound == 0 ? 0 : random % bound;
}

uint64_t spread_backoff(uint32_t failures, uint64_t most_us, uint32_t retry_ms, uint64_t random)
{
	uint64_t bound = BACKOFF_FIRST_US;

	for (uint32_t i = 1; i < failures && bound < most_us; i++)
		bound *= 2;
	uint64_t delay = MAX(below(MIN(bound, most_us), random), BACKOFF_LEAST_US);
	return delay + (uint64_t)retry_ms * USEC_PER_MSEC;
}

uint64_t spread_look(uint64_t period_us, uint64_t random)
{
	return period_us - period_us / 10 + below(period_us / 5, random);
}

uint64_t spread_change(uint64_t pending_us, uint64_t now_us, uint64_t splay_us, uint64_t random)
{
	uint64_t delay = splay_us == UINT64_MAX ? random : below(splay_us + 1, random);

	return MIN(pending_us, clock_add_us(now_us, delay));
}
