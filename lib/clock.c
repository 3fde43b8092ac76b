#include "lib/clock.h"

#include <errno.h>
#include <limits.h>
#include <time.h>

static uint64_t now_of(clockid_t id)
{
	struct timespec ts = {0};

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_now_us(void)
{
	return now_of(CLOCK_BOOTTIME);
}

uint64_t clock_wall_us(void)
{
	return now_of(CLOCK_REALTIME);
}

int clock_set_wall(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = {.tm_year = year - 1900,
			.tm_mon = month - 1,
			.tm_mday = day,
			.tm_hour = hour,
			.tm_min = minute,
			.tm_sec = second};
	const struct timespec ts = {.tv_sec = timegm(&tm)};

	return clock_settime(CLOCK_REALTIME, &ts) < 0 ? -errno : 0;
}

int clock_set_wall_us(uint64_t wall_us)
{
	const struct timespec ts = {.tv_sec = (time_t)(wall_us / USEC_PER_SEC),
				    .tv_nsec = (long)(wall_us % USEC_PER_SEC) * 1000};

	return clock_settime(CLOCK_REALTIME, &ts) < 0 ? -errno : 0;
}

uint64_t clock_add_us(uint64_t a, uint64_t b)
{
	return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

int clock_poll_ms(uint64_t deadline_us)
{
	if (deadline_us == USEC_INFINITY)
		return -1;
	uint64_t now = clock_now_us();
	if (deadline_us <= now)
		return 0;
	uint64_t ms = (deadline_us - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

void clock_format(struct strbuf *buf, uint64_t wall_us)
{
	time_t seconds = (time_t)(wall_us / USEC_PER_SEC);
	struct tm tm = {0};

	(void)gmtime_r(&seconds, &tm);
	strbuf_addf(buf, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900, tm.tm_mon + 1,
		    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		    (unsigned)(wall_us % USEC_PER_SEC));
}
