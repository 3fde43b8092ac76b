/* holdfastctl sleep: for preStop hooks in images where nothing else can be executed. */
#include <errno.h>
#include <time.h>

#include "ctl/time.h"
#include "ctl/verbs.h"
#include "lib/clock.h"

int ctl_sleep(const struct ctl_options *options, int argc, char **argv)
{
	uint64_t us;

	(void)options;
	if (argc != 1 || ctl_parse_duration(argv[0], &us) < 0)
		return ctl_usage("sleep wants one duration, as in 5, 0.5, 500ms or 2min");
	struct timespec until = {0};
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(us / USEC_PER_SEC);
	until.tv_nsec += (long)(us % USEC_PER_SEC) * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	return CTL_OK;
}
