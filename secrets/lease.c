#include "secrets/lease.h"

#include "lib/cleanup.h"

#define USEC UINT64_C(1000000)

/* part of whole, in thousandths: divided first, since a century of microseconds times a thousand
 * still fits, but only just. */
static uint64_t thousandths(uint64_t whole, uint64_t part)
{
	return whole / 1000 * part + whole % 1000 * part / 1000;
}

/* The part of at most most_us that random (of 32 bits) stands for. */
static uint64_t share(uint64_t most_us, uint32_t random)
{
	return (most_us >> 16) * (random >> 16) + (((most_us & 0xFFFF) * (random >> 16)) >> 16);
}

static void plan(struct lease *lease, uint64_t now_us, uint32_t random)
{
	uint64_t left = lease->end_us - now_us;

	lease->from_us = now_us;
	if (lease->end_us == LEASE_FOREVER)
		lease->due_us = LEASE_FOREVER;
	else if (lease->is_renewable)
		lease->due_us = now_us + left / 3 * 2 + share(left / 10, random);
	else
		lease->due_us = now_us + thousandths(left, 825) + share(left / 20, random);
}

void lease_start(struct lease *lease, uint64_t now_us, uint64_t seconds, bool is_renewable,
		 uint32_t random)
{
	seconds = MIN(seconds, LEASE_SECONDS_MAX);
	*lease = (struct lease){
		.end_us = seconds == 0 ? LEASE_FOREVER : now_us + seconds * USEC,
		.duration_us = seconds * USEC,
		.is_renewable = is_renewable,
	};
	plan(lease, now_us, random);
}

bool lease_renew(struct lease *lease, uint64_t now_us, uint64_t seconds, uint32_t random)
{
	uint64_t before = lease->end_us;
	uint64_t end = now_us + MIN(seconds, LEASE_SECONDS_MAX) * USEC;

	lease->end_us = end;
	plan(lease, now_us, random);
	return before != LEASE_FOREVER && end > before && end - before >= lease->duration_us / 10;
}

bool lease_is_due(const struct lease *lease, uint64_t now_us)
{
	return now_us >= lease->due_us;
}

bool lease_has_ended(const struct lease *lease, uint64_t now_us)
{
	return now_us >= lease->end_us;
}

uint64_t lease_ms_until(uint64_t then_us, uint64_t now_us)
{
	if (then_us == LEASE_FOREVER)
		return UINT64_MAX;
	return then_us <= now_us ? 0 : (then_us - now_us + 999) / 1000;
}

bool lease_is_sound(const struct lease *lease)
{
	uint64_t most = LEASE_SECONDS_MAX * USEC;

	if (lease->duration_us > most)
		return false;
	if (lease->end_us == LEASE_FOREVER)
		return lease->due_us == LEASE_FOREVER;
	return lease->from_us <= lease->due_us && lease->due_us <= lease->end_us &&
	       lease->end_us - lease->from_us <= most;
}
