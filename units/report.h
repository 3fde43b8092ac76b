#pragma once
/*
 * Where in which file something stands, and the list of what is to be said about it.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sysexits.h>

#include "units/arena.h"
#include "units/types.h"

#define REPORT_MAX 1000 /* more are counted, and one line says that there are more */

struct where {
	const char *file;
	uint32_t line, column;
};

struct report {
	struct arena *arena;
	struct diag_list list;
	size_t n_left_out;
	/* What an error of the instance at hand is, is only worth a warning here: no such user, no
	 * such file (units_request.is_offline). */
	bool is_offline;
	/* The unit at hand will not be started: what it would need and is not there is not worth a word. */
	bool is_skipped;
};

/* An error with exit status 78 (EX_CONFIG). */
void report_error(struct report *report, const struct where *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* An error with another exit status. */
void report_failure(struct report *report, const struct where *at, int status, const char *format,
		    ...) __attribute__((format(printf, 4, 5)));
/* An error with that status at boot, a warning offline, nothing where the unit is skipped. */
void report_absence(struct report *report, const struct where *at, int status, const char *format,
		    ...) __attribute__((format(printf, 4, 5)));
void report_warning(struct report *report, const struct where *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A warning about what holdfast does not know: an error under --strict. */
void report_unknown(struct report *report, const struct where *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
