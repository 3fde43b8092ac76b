#pragma once
#include <stdint.h>

/* "5", "1.5", "500ms", "5s", "5min", "2h", "1d" in microseconds. 0 or -EINVAL. */
int ctl_parse_duration(const char *text, uint64_t *ret_us);
/* RFC 3339 with a zone, as wall-clock microseconds. 0 or -EINVAL. */
int ctl_parse_time(const char *text, uint64_t *ret_wall_us);
