#pragma once
/*
 * What spawnbed is made of: the bed that a spawn happens in (tests/apps/spawnbed.c), the keys that make
 * it (spawnkeys.c), and many spawns, to kill supervisors in and to measure (spawnmany.c).
 */
#include <stdbool.h>
#include <stdint.h>

#include "supervisor/spawn.h"
#include "tests/support/planbuild.h"

#define BED_MANY 32

extern struct bed {
	struct planbuild build;
	struct plan plan;
	struct board board;
	struct store_table *store;
	struct spawner spawner;
	struct spawn_request request;
	uint32_t n_units;
	int error_pipe; /* the supervisor's stderr */

	/* From keys. */
	const char *environment[BED_MANY], *groups[BED_MANY];
	uint32_t n_environment, n_groups;
	uint32_t n_sockets;
	uint32_t exec_flags;
	uint64_t as_uid, as_capabilities;
	bool is_limited, holds, cleans_up, is_helper;
	char **argv;
	int kill_signal, kill_who;
} bed;

/* Ends the process with 99 and errno's text. */
void bed_die(const char *what);
void bed_must(bool is_good, const char *what);

/* The first unit, still to be changed. */
struct plan_unit *bed_unit(void);
uint64_t bed_number(const char *text);
/* KEY=VALUE; the table is in spawnkeys.c. */
void bed_apply_key(char *argument);

/* Board and pipes for that many units. */
void bed_make_shared(uint32_t n_units);
void bed_finish_plan(void);
/* In a fork: what a supervisor has and no more. */
void bed_become_supervisor(void);
_Atomic int32_t *bed_slot_of(uint32_t unit);

/* That many units that run path, with keys; then kills in so many rounds, or a bench. */
void bed_make_units(uint32_t count, const char *path, char **key_values);
void bed_run_kills(uint32_t rounds);
void bed_run_bench(uint32_t count, const char *path);
