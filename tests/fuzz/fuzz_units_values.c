/* TESTS: units/values.c lib/plan.c lib/str.c lib/signals.c */
/* Every reader of single values on any text; what it accepts is in its range. */
#include <stdlib.h>
#include <string.h>

#include "lib/str.h"
#include "units/values.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool is_right)
{
	if (!is_right)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[128];
	uint64_t number;
	uint32_t small;
	int32_t signed_number;
	struct limit limit;
	bool is_true;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)value_span(text, &number);
	(void)value_size(text, &number);
	(void)str_parse_bool(text, &is_true);
	check(value_mode(text, &small) < 0 || small <= 07777);
	check(value_signal(text, &small) < 0 || (small >= 1 && small <= 64));
	check(value_exit_status(text, &small) < 0 || small <= 255);
	check(value_capability(text, &small) < 0 || small < 64);
	check(value_int(text, -20, 19, &signed_number) < 0 ||
	      (signed_number >= -20 && signed_number <= 19));
	for (uint32_t i = 0; i < PLAN_LIMIT_COUNT; i++)
		check(value_limit(i, text, &limit) < 0 || limit.soft <= limit.hard);
	(void)value_nearest(text, kill_mode_names, KILL_MODE_COUNT);
	return 0;
}
