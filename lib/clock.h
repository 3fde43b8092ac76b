#pragma once
/*
 * Two clocks. Deadlines and durations are CLOCK_BOOTTIME microseconds ("monotonic" everywhere in
 * holdfast: it cannot jump, and it counts a suspended machine's sleep). Wall-clock time is for
 * people: it is written into lines and never compared.
 */
#include <stdint.h>

#include "lib/str.h"

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

uint64_t clock_now_us(void);
uint64_t clock_wall_us(void);
/* Sets the wall clock to a time of day in UTC (month and day from 1). 0 or -errno. */
int clock_set_wall(int year, int month, int day, int hour, int minute, int second);
/* To microseconds since 1970. 0 or -errno. */
int clock_set_wall_us(uint64_t wall_us);

/* a + b that stays at USEC_INFINITY. */
uint64_t clock_add_us(uint64_t a, uint64_t b);

/* The timeout for poll(2) until deadline_us: -1 for never, 0 when it has passed, rounded up. */
int clock_poll_ms(uint64_t deadline_us);

/* RFC 3339, UTC, microseconds: 2026-01-02T03:04:05.000006Z */
void clock_format(struct strbuf *buf, uint64_t wall_us);
