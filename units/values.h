#pragma once
/*
 * Single values as systemd writes them: each function takes the whole text and returns 0, or
 * -EINVAL (not such a value) or -ERANGE. What was expected is the caller's to say.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/plan.h"

struct limit {
	uint64_t soft, hard;
	bool is_set;
};

/* "5min 20s", "90" (seconds), "1.5h", "infinity": systemd.time(7). Microseconds. */
int value_span(const char *text, uint64_t *ret_us);

/* "64M", "1.5G", "infinity"; base 1024. UINT64_MAX for infinity. */
int value_size(const char *text, uint64_t *ret_bytes);

/* Octal, up to 07777. */
int value_mode(const char *text, uint32_t *ret_mode);

int value_int(const char *text, int32_t min, int32_t max, int32_t *ret_value);

/* SIGTERM, TERM, 15, RTMIN+3. 1 to 64. */
int value_signal(const char *text, uint32_t *ret_signal);

/* 0 to 255, or a name of systemd.exec(5): EXEC, TEMPFAIL, … */
int value_exit_status(const char *text, uint32_t *ret_status);

/* CAP_NET_ADMIN, net_admin or a number: the bit. */
int value_capability(const char *text, uint32_t *ret_bit);

/* "1024", "1024:4096", "infinity", with the unit that RLIMIT_… has (bytes, seconds, µs, nice). */
int value_limit(uint32_t resource, const char *text, struct limit *ret_limit);

/* An index into names, or -EINVAL. */
int value_enum(const char *text, const char *const *names, uint32_t count, uint32_t *ret_value);

/* "yes or no" for messages: "control-group, mixed, process or none", into text. */
void value_enum_words(const char *const *names, uint32_t count, char *text, size_t size);

/* The nearest of count names to text when it is near enough to be a slip, else NULL. */
const char *value_nearest(const char *text, const char *const *names, size_t count);

/* How many changes make text of name, up to limit + 1. */
unsigned value_distance(const char *text, const char *name, unsigned limit);
