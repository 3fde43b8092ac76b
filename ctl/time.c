/*
 * Times as people type them on a command line: how long ("1.5h") and since when (RFC 3339). Both
 * are whole or refused: a text that goes on behind what was understood is a slip, and would else be
 * another time than the one that was meant.
 *
 * The calendar is computed here: libc's mktime(3) and timegm(3) accept the 31st of February, and
 * the former reads a zone file that an image need not have.
 */
#include "ctl/time.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"

#define SECONDS_MAX 1000000000 /* 31 years */

/* Digits, and behind a point up to six more, in millionths. Moves *text behind them. */
static int parse_millionths(const char **text, uint64_t *ret_value)
{
	uint64_t value = 0, scale = USEC_PER_SEC;
	const char *at = *text;

	if (*at < '0' || *at > '9')
		return -EINVAL;
	for (; *at >= '0' && *at <= '9'; at++) {
		value = value * 10 + (uint64_t)(*at - '0');
		if (value > SECONDS_MAX)
			return -EINVAL;
	}
	value *= USEC_PER_SEC;
	if (*at == '.') {
		at++;
		if (*at < '0' || *at > '9')
			return -EINVAL;
		for (; *at >= '0' && *at <= '9'; at++) {
			scale /= 10;
			value += (uint64_t)(*at - '0') * scale;
		}
	}
	*text = at;
	*ret_value = value;
	return 0;
}

int ctl_parse_duration(const char *text, uint64_t *ret_us)
{
	static const struct {
		const char *name;
		uint64_t numerator, denominator; /* of a second */
	} units[] = {
		{"", 1, 1},   {"s", 1, 1},    {"sec", 1, 1},  {"ms", 1, 1000},
		{"m", 60, 1}, {"min", 60, 1}, {"h", 3600, 1}, {"d", 86400, 1},
	};
	uint64_t value;

	if (parse_millionths(&text, &value) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
		if (!str_equal(text, units[i].name))
			continue;
		if (value > SECONDS_MAX * USEC_PER_SEC / units[i].numerator)
			return -EINVAL;
		*ret_us = value * units[i].numerator / units[i].denominator;
		return 0;
	}
	return -EINVAL;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	/* Years that start in March: the leap day is the last one, and months have a formula. */
	year -= month <= 2;
	int64_t era = year / 400, of_era = year % 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Takes n digits between min and max. */
static bool take_number(const char **text, int n, int64_t min, int64_t max, int64_t *ret_value)
{
	int64_t value = 0;

	for (int i = 0; i < n; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		value = value * 10 + (**text - '0');
	}
	*ret_value = value;
	return value >= min && value <= max;
}

static bool take_char(const char **text, const char *any_of)
{
	if (**text == '\0' || !strchr(any_of, **text))
		return false;
	(*text)++;
	return true;
}

/* Z, or +HH:MM, as seconds east of Greenwich. */
static bool take_zone(const char **text, int64_t *ret_seconds)
{
	int64_t hours, minutes, sign = **text == '-' ? -1 : 1;

	*ret_seconds = 0;
	if (take_char(text, "Zz"))
		return true;
	if (!take_char(text, "+-") || !take_number(text, 2, 0, 23, &hours) ||
	    !take_char(text, ":") || !take_number(text, 2, 0, 59, &minutes))
		return false;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

int ctl_parse_time(const char *text, uint64_t *ret_wall_us)
{
	int64_t year, month, day, hour, minute, second, zone;
	uint64_t fraction = 0, scale = USEC_PER_SEC;

	if (!take_number(&text, 4, 1970, 9999, &year) || !take_char(&text, "-") ||
	    !take_number(&text, 2, 1, 12, &month) || !take_char(&text, "-") ||
	    !take_number(&text, 2, 1, 31, &day) || !take_char(&text, "Tt ") ||
	    !take_number(&text, 2, 0, 23, &hour) || !take_char(&text, ":") ||
	    !take_number(&text, 2, 0, 59, &minute) || !take_char(&text, ":") ||
	    !take_number(&text, 2, 0, 60, &second))
		return -EINVAL;
	if (take_char(&text, ".")) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		for (; *text >= '0' && *text <= '9'; text++) {
			scale /= 10;
			fraction += (uint64_t)(*text - '0') * scale;
		}
	}
	if (!take_zone(&text, &zone) || *text)
		return -EINVAL;
	int64_t seconds =
		days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - zone;
	*ret_wall_us = seconds < 0 ? 0 : (uint64_t)seconds * USEC_PER_SEC + fraction;
	return 0;
}
