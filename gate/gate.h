#pragma once
/*
 * What both halves of holdfast-gate work on. There is one of it, in main.c; nothing is allocated.
 *
 *   main.c     attaches, locks itself in, waits                  -> all
 *   exec.c     answers fanotify: what may be executed here       -> judge, mounts, elf, decide, pending
 *   mounts.c   what is marked, and what lies there
 *   elf.c      a program, or a loader?
 *   decide.c   may it be executed?
 *   pending.c  who is in the middle of an execution
 *   calls.c    hears of system calls that were refused                -> audit
 *   audit.c    what the kernel's record of one says
 *   detect.c   when to look for processes that nobody here started  -> look, refuse, trigger, visits
 *   look.c     finds them                                        -> judge, visits
 *   refuse.c   ends them                                         -> judge, look, visits
 *   visits.c   tells of those whom PID 1's room turned away
 *   trigger.c  what wakes it
 *   judge.c    who is that process?                              -> (lib)
 */
#include <stdbool.h>

#include "lib/board.h"
#include "lib/gateboard.h"
#include "lib/journal.h"
#include "lib/plan.h"
#include "lib/store.h"

struct gate {
	const struct store_table *store;
	struct plan plan;   /* the public one */
	struct board board; /* read-only */
	const struct journal *journal;
	struct gateboard *record; /* ours to write */
	int proc_fd;		  /* /proc */
	bool is_lenient;	  /* Shells=warn: report, do not refuse */
	uint32_t unmarked_unit;	  /* the first whose processes may have no filter more than PID 1
				     has; PLAN_NO_UNIT: there is none */
};
