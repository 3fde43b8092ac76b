/*
 * What a unit may take of the machine: systemd.resource-control(5), as text for the files of its
 * cgroup (Documentation/admin-guide/cgroup-v2.rst). The supervisor writes it there and understands
 * none of it.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"
#include "units/directive.h"
#include "units/host.h"
#include "units/parsers.h"
#include "units/values.h"

#define WEIGHT_MAX    10000
#define PERCENT_MAX   1000000 /* of one processor: ten thousand of them */
#define PERIOD_MIN_US USEC_PER_MSEC
#define PERIOD_MAX_US USEC_PER_SEC

static const char *keep_number(const struct parse *parse, uint64_t number)
{
	if (number == UINT64_MAX)
		return "max";
	return arena_printf(&parse->units->arena, "%" PRIu64, number);
}

/* "20%". */
static bool read_percent(const char *text, uint64_t max, uint64_t *ret_percent)
{
	char number[16];
	size_t length = strlen(text);

	if (length < 2 || length > sizeof(number) || text[length - 1] != '%')
		return false;
	memcpy(number, text, length - 1);
	number[length - 1] = '\0';
	return str_parse_u64(number, max, ret_percent) == 0;
}

/* Of what the machine has: a unit file may say so, as it does not know which machine that is. */
static uint64_t share_of_memory(uint64_t percent)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / 100 * percent
				     : UINT64_MAX;
}

void parse_memory(const struct parse *parse, void *target)
{
	const char **text = target;
	uint64_t bytes, percent;

	if (!*parse->value)
		*text = NULL;
	else if (read_percent(parse->value, 100, &percent))
		*text = keep_number(parse, share_of_memory(percent));
	else if (value_size(parse->value, &bytes) == 0)
		*text = keep_number(parse, bytes);
	else
		parse_error(parse, 0,
			    "\"%s\": expected a size such as 64M, a share such as 25%%, "
			    "or infinity",
			    parse->value);
}

/* Of what there can be here, as systemd counts it: the least of what bounds the number of tasks. At
 * least one, since none at all is no service. */
static uint64_t share_of_tasks(struct units *units, uint64_t percent)
{
	uint64_t all = host_tasks_max(units);

	return all == UINT64_MAX ? all : MAX(all * percent / 100, 1);
}

void parse_tasks(const struct parse *parse, void *target)
{
	const char **text = target;
	uint64_t count;

	if (!*parse->value)
		*text = NULL;
	else if (strcmp(parse->value, "infinity") == 0)
		*text = keep_number(parse, UINT64_MAX);
	else if (read_percent(parse->value, 100, &count) && count > 0)
		*text = keep_number(parse, share_of_tasks(parse->units, count));
	else if (str_parse_u64(parse->value, INT32_MAX, &count) == 0 && count > 0)
		*text = keep_number(parse, count);
	else
		parse_error(parse, 0,
			    "\"%s\": expected a number of tasks, a share such as 25%%, or "
			    "infinity",
			    parse->value);
}

void parse_weight(const struct parse *parse, void *target)
{
	const char **text = target;
	uint64_t weight;

	if (!*parse->value)
		*text = NULL;
	else if (str_parse_u64(parse->value, WEIGHT_MAX, &weight) == 0 && weight > 0)
		*text = keep_number(parse, weight);
	else
		parse_error(parse, 0, "\"%s\": expected a weight from 1 to %u", parse->value,
			    WEIGHT_MAX);
}

void parse_cpu_quota(const struct parse *parse, void *target)
{
	uint32_t *percent = target;
	uint64_t value = 0;

	if (*parse->value && (!read_percent(parse->value, PERCENT_MAX, &value) || value == 0))
		parse_error(parse, 0,
			    "\"%s\": expected the share of one processor, such as 20%% or 250%%",
			    parse->value);
	else
		*percent = (uint32_t)value;
}

void parse_cpu_period(const struct parse *parse, void *target)
{
	uint32_t *period_us = target;
	uint64_t span = 0;

	if (*parse->value &&
	    (value_span(parse->value, &span) < 0 || span == 0 || span == PLAN_INFINITY_US)) {
		parse_error(parse, 0, "\"%s\": expected a time span from 1ms to 1s", parse->value);
		return;
	}
	/* As systemd does it. */
	if (span > 0)
		span = MIN(MAX(span, PERIOD_MIN_US), PERIOD_MAX_US);
	*period_us = (uint32_t)span;
}

void parse_oom_policy(const struct parse *parse, void *target)
{
	const char **text = target;

	if (strcmp(parse->value, "kill") == 0)
		*text = "1";
	else if (!*parse->value || strcmp(parse->value, "continue") == 0 ||
		 strcmp(parse->value, "stop") == 0)
		*text = NULL;
	else
		parse_error(parse, 0, "\"%s\": expected stop, kill or continue", parse->value);
}
