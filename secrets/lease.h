#pragma once
/*
 * When what was lent for a time has to be seen to again (facts of the secrets, Vault): what can be
 * renewed at two thirds of what remains, plus a jitter, so that a fleet which started in one minute does
 * not renew in one second; what cannot at 85 %. Times are microseconds of lib/clock.h.
 */
#include <stdbool.h>
#include <stdint.h>

#define LEASE_FOREVER UINT64_MAX
/* The longest that is believed: 100 years. It also keeps the arithmetic from overflowing. */
#define LEASE_SECONDS_MAX (UINT64_C(100) * 366 * 24 * 3600)

struct lease {
	uint64_t from_us;      /* when it was given, or renewed */
	uint64_t end_us;       /* LEASE_FOREVER: never */
	uint64_t due_us;       /* when to see to it; LEASE_FOREVER */
	uint64_t duration_us;  /* that it was first given for: what renewals ask for */
	uint32_t is_renewable; /* no bool: it is kept as bytes */
	uint32_t reserved;
};

/* One that is given now for so many seconds; 0: for ever. random: any 32 bits. */
void lease_start(struct lease *lease, uint64_t now_us, uint64_t seconds, bool is_renewable,
		 uint32_t random);

/*
 * It was renewed: seconds from now. False when that gained less than a tenth of what it was first given
 * for, which is how a maximum shows: it no longer extends, and has to be fetched anew.
 */
bool lease_renew(struct lease *lease, uint64_t now_us, uint64_t seconds, uint32_t random);

bool lease_is_due(const struct lease *lease, uint64_t now_us);
bool lease_has_ended(const struct lease *lease, uint64_t now_us);
/* Milliseconds from now until then, rounded up; 0 when it has passed; UINT64_MAX for never. */
uint64_t lease_ms_until(uint64_t then_us, uint64_t now_us);
/* Of one that came from outside: its times are in order. */
bool lease_is_sound(const struct lease *lease);
