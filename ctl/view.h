#pragma once
/*
 * A unit as people and the dump see it. What comes from the board is bounded here: a number that is
 * no state becomes "unknown", and text of a service loses what would move a terminal's cursor.
 */
#include <stdbool.h>
#include <stdint.h>

#include "ctl/instance.h"
#include "lib/str.h"

struct view {
	uint32_t index;
	const struct plan_unit *unit;
	const char *name;
	struct board_unit record;
	const char *state, *active, *result;
	int32_t pid;		   /* of its main process; 0: none */
	bool counts;		   /* the instance wants it up */
	bool is_up;		   /* it is, or has nothing left to do */
	uint64_t memory;	   /* bytes; 0: unknown */
	const char *memory_source; /* "cgroup" or "process" */
};

void view_read(const struct instance *instance, uint32_t unit, struct view *ret_view);

/* Fills in memory: of the unit's cgroup where it has one, else of its main process. */
void view_measure(const struct instance *instance, struct view *view);

/* "exited 1", "killed by SIGSEGV", "203/EXEC", or nothing when it never ended. */
void view_last_exit(const struct view *view, struct strbuf *buf);
/* Why it is not as it should be, in half a sentence; nothing when all is well. */
void view_why(const struct instance *instance, const struct view *view, struct strbuf *buf);
/* What the service said by STATUS=. */
void view_text(const struct instance *instance, const struct view *view, struct strbuf *buf);

/* The first unit that it requires and that failed, or PLAN_NO_UNIT. */
uint32_t view_failed_dependency(const struct instance *instance, uint32_t unit);

/* "SIGKILL"; numbers without a name are written as numbers. */
void view_signal(struct strbuf *buf, int signal);
/* "EXEC" for 203, or NULL (systemd.exec(5), Process Exit Codes). */
const char *view_setup_name(int status);

/* 512, 1.5K, 20.0M, 3.2G */
void view_bytes(struct strbuf *buf, uint64_t bytes);
/* 850ms, 12s, 3min 4s, 2h 5min, 3d 4h */
void view_duration(struct strbuf *buf, uint64_t us);

const char *view_phase(const struct board_manager *manager);

/* "gate":{…}: how often it refused somebody, and whom last; nothing where there is no record of it. */
void view_gate(const struct instance *instance, struct strbuf *line);
