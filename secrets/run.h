#pragma once
/*
 * One run: the request as it is worked on, what it asks of the environment, and where providers
 * leave values and failures. What a unit gets is decided here: all of its secrets or none, and
 * while it is refreshed the last known good of what cannot be had now.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/secretreport.h"
#include "lib/secretrequest.h"
#include "lib/str.h"
#include "secrets/collect.h"
#include "secrets/provider.h"

#define RUN_WHY_MAX 512 /* of a sentence about a failure */

/* Text NAME=VALUE with a NUL behind each, size bytes. */
struct run_environ {
	const char *data;
	size_t size;
};

/* One item of the request. */
struct secret {
	struct secretrequest_item item;
	const struct provider *provider; /* NULL: refused already */
	struct secretreport_item *report;
	uint32_t index;
	bool is_done; /* given, failed, or absent */
	bool is_over; /* the value that the unit has is good no more: it is not kept */
	void *mine;   /* the provider's */
};

struct run {
	struct secretrequest request;
	struct run_environ environment;
	const struct store_table *store;
	struct secret secrets[SECRETREQUEST_ITEMS_MAX];
	struct secretreport report;
	struct collect values;
	const char *old; /* the values that the unit has now; NULL: none */
	size_t old_size;
	uint64_t deadline_us; /* of lib/clock.h; USEC_INFINITY */
	enum secret_outcome outcome;
};

/* A setting of holdfast.conf under the environment's name, else of holdfast's environment, else NULL.
 * An empty one counts as not set. Borrowed. */
const char *run_setting(const struct run *run, const char *name);
/* A variable of holdfast's environment alone, be it empty; borrowed, or NULL. */
const char *run_variable(const struct run *run, const char *name);
/* Whether the setting says yes (str_parse_bool). */
bool run_setting_is_true(const struct run *run, const char *name);

/* The next secret of provider that is neither given nor failed, at or after *cursor (start with 0). */
struct secret *run_next(struct run *run, const struct provider *provider, uint32_t *cursor);

/*
 * The value of secret, which is copied; version may be NULL. What does not fit its delivery fails
 * instead. For the environment one newline at the end is taken off, since `echo secret >file` is
 * how such files are made.
 */
void run_give(struct run *run, struct secret *secret, const void *value, size_t length,
	      const char *version);
/* One of a SecretPath=, under the name it will have; after the last of them run_give_end. */
void run_give_found(struct run *run, struct secret *secret, const char *name, const char *source,
		    const void *value, size_t length);
void run_give_end(struct run *run, struct secret *secret, const char *version);
/* DB_PASSWORD of "db-password", as facts have it: upper case, what is not [A-Z0-9_] becomes _, and a
 * digit in front gets one before it. False when size bytes do not hold it. */
bool run_map_name(const char *from, char *to, size_t size);

/* No value: said once, with unit, name and reference. Of an optional secret SECRET_NOT_FOUND means
 * absent; in a refresh the old value is kept. */
void run_fail(struct run *run, struct secret *secret, enum secret_outcome outcome,
	      const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Fails each of provider's that is not done. */
void run_fail_all(struct run *run, const struct provider *provider, enum secret_outcome outcome,
		  const char *why);
/* The value has not changed since the old values file was made: it is taken from there. False when
 * it is not in there, and must be fetched. */
bool run_give_old(struct run *run, struct secret *secret, const char *version);

/* The value that the unit has now of an item that names one; borrowed. False: it has none. */
bool run_old_value(const struct run *run, const struct secret *secret, const char **ret_value,
		   size_t *ret_length);

/* The name of secret fits how it is delivered: a variable, or one file in a directory. */
bool run_name_fits(const struct secretrequest_item *item);

/* Milliseconds until the run has to be over; at most max_ms. 0: now. */
uint32_t run_left_ms(const struct run *run, uint32_t max_ms);

/* To be run again in ms at the latest; a lease ends in ms; a failure is not to be repeated before
 * ms have passed. Each keeps the strictest that it was told. */
void run_again_in(struct run *run, uint64_t ms);
void run_lease_ends_in(struct run *run, uint64_t ms);
void run_retry_after(struct run *run, uint32_t ms);

/* Writes the values into fd 1 and the report, wipes what it holds, and says how it went. The exit
 * status. */
int run_finish(struct run *run);
