#pragma once
/*
 * What a dump says, kept as far as an explanation needs it: units, holdfast's own events, the last
 * lines of each unit, and what the kernel counted. Everything is text as it stood there; nothing is
 * trusted to be there at all.
 *
 * The input may also be an instance's output, with or without a dump in it: a boot that failed
 * writes only its events.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EVIDENCE_UNITS_MAX    4096
#define EVIDENCE_EVENTS_MAX   4096 /* the last ones are kept */
#define EVIDENCE_TAIL	      8	   /* lines of each unit */
#define EVIDENCE_REQUIRES_MAX 64
#define EVIDENCE_CALLS_MAX    128 /* refused system calls, by unit and call */

/* Strings are owned, never NULL, and free of control characters. */
struct evidence_line {
	char *time, *stream, *text;
};

struct evidence_unit {
	char *name, *state, *result, *since, *text;
	char *requires[EVIDENCE_REQUIRES_MAX];
	size_t n_requires;
	int64_t exit_code, exit_status, exec_error, restarts;
	bool has_exited, is_essential, is_wanted, is_up, was_active, was_killed, is_oom_killed;
	struct evidence_line tail[EVIDENCE_TAIL]; /* a ring */
	size_t n_lines;
};

struct evidence_event {
	char *time, *name, *unit, *message, *level, *subject, *reference, *file;
	char *exe, *asker, *reason; /* of a refusal: what was to run, who wanted it, why not */
	int64_t line, column, uid;
};

/* How often holdfast-gate refused somebody, by lib/gateboard.h's counters. */
struct evidence_gate {
	int64_t denied, killed, reported, unkillable, turned_away;
};

/* A system call that a filter refused. */
struct evidence_call {
	char *unit, *call, *allow, *program;
	int64_t count;
	bool is_deadly;
};

struct evidence {
	struct evidence_unit *units; /* EVIDENCE_UNITS_MAX */
	size_t n_units;
	struct evidence_event *events; /* EVIDENCE_EVENTS_MAX, a ring */
	size_t n_events;
	char *cause_unit, *cause_result, *phase, *image, *kernel_oom;
	struct evidence_gate gate;
	struct evidence_call calls[EVIDENCE_CALLS_MAX];
	size_t n_calls;
	int64_t exit_status;
	bool has_cause;
	int64_t dropped;
	int64_t n_dump_lines; /* of the last dump, as counted */
	int64_t n_declared;   /* as its end line says; -1: there is no end line */
	bool has_dump;
	size_t n_unreadable; /* lines that are no JSON object within the limits */
	bool is_foreign;     /* a dump of a schema that is not ours */
};

/* Reads all of the stream. 0, or -ENOMEM. */
int evidence_read(FILE *input, struct evidence *evidence);
/* One line, without its end; it is changed. */
int evidence_take(struct evidence *evidence, char *line, size_t length);
int evidence_init(struct evidence *evidence);
void evidence_finish(struct evidence *evidence);

/* The unit of that name, or NULL. */
struct evidence_unit *evidence_find_unit(const struct evidence *evidence, const char *name);
/* The i-th of the events that were kept, oldest first; NULL at the end. */
const struct evidence_event *evidence_event_at(const struct evidence *evidence, size_t i);
/* The i-th of the lines of the unit that were kept, oldest first; NULL at the end. */
const struct evidence_line *evidence_line_at(const struct evidence_unit *unit, size_t i);
/* The last event of that name, of that unit unless it is NULL; NULL: there was none. */
const struct evidence_event *evidence_last_event(const struct evidence *evidence, const char *name,
						 const char *unit);
