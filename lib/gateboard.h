#pragma once
/*
 * What holdfast-gate has done, in shared memory that it alone writes: which means it found for each of
 * its halves, how often they refused somebody, and whom they refused last. A 0444 file where the board
 * is one, so that status, /metrics and the dump show it while the gate is dead.
 *
 * Texts and the last one refused have two copies and a count of writes, whose last bit says which one
 * holds: a gate that dies while it writes leaves the older one.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/plan.h"

/* How the gate ends, beside a death. */
#define GATE_EXIT_NO_DUTY 0  /* nothing can be watched here: it is not started again */
#define GATE_EXIT_UNSAFE  99 /* somebody got in and cannot be killed: the instance ends */

enum gate_half {
	GATE_EXEC,	/* what may be executed here */
	GATE_INTRUDERS, /* processes that nobody here started */
	GATE_HALF_COUNT
};
/* The names of the protections. */
extern const char *const gate_half_names[GATE_HALF_COUNT];

enum gate_counter {
	GATE_DENIED,	  /* executions that were refused */
	GATE_KILLED,	  /* intruders that were killed */
	GATE_REPORTED,	  /* intruders that were only reported (Shells=warn) */
	GATE_UNKILLABLE,  /* intruders that could not be */
	GATE_TURNED_AWAY, /* who came into PID 1's room and met the stub, or nothing to execute */
	GATE_COUNTER_COUNT
};
/* As labels of metrics and members of the dump. */
extern const char *const gate_counter_names[GATE_COUNTER_COUNT];

#define GATE_RUNG_MAX 64
#define GATE_WHY_MAX  256
#define GATE_EXE_MAX  256

struct gate_rung {
	uint32_t level; /* enum protection_level */
	char rung[GATE_RUNG_MAX];
	char why[GATE_WHY_MAX]; /* why no better one; empty: there is none */
};

struct gate_refusal {
	uint64_t wall_us; /* 0: there was none yet */
	uint32_t counter; /* enum gate_counter: what was done about it */
	int32_t pid;	  /* as PID 1's namespace counts; 0: outside of it */
	uint32_t uid;
	char exe[GATE_EXE_MAX]; /* what it ran or wanted to run; its own bytes: not to be trusted */
};

/* What the filter of system calls refused, by unit and call: so many are told apart. */
#define GATE_CALLS_MAX	  128
#define GATE_CALL_NAME	  32
#define GATE_PROGRAM_NAME 16

struct gate_call {
	uint32_t unit;		    /* PLAN_NO_UNIT: of none that is known */
	uint32_t is_deadly;	    /* its process was killed for it */
	char name[GATE_CALL_NAME];  /* "ptrace" */
	char allow[GATE_CALL_NAME]; /* SandboxAllow='s word that lifts it; empty: there is none */
	char program[GATE_PROGRAM_NAME]; /* the first that was refused it, as it calls itself */
	uint64_t count;
};

/* Processes that may be in the middle of an execution at the same time; a power of two. */
#define GATE_PENDING_MAX 2048

struct gateboard {
	uint64_t magic;
	uint32_t version;
	uint32_t pending_turn;
	_Atomic uint64_t counters[GATE_COUNTER_COUNT];
	struct {
		_Atomic uint64_t n_writes;
		struct gate_rung copies[2];
	} rungs[GATE_HALF_COUNT];
	struct {
		_Atomic uint64_t n_writes;
		struct gate_refusal copies[2];
	} last;
	_Atomic uint64_t n_calls; /* entries of calls that hold */
	_Atomic uint64_t
		calls_beyond; /* refusals that found no room there, or got lost on the way */
	struct gate_call calls[GATE_CALLS_MAX];
	_Atomic uint64_t call_counts[GATE_CALLS_MAX];
	/* For the gate's successor alone: gate/pending.h. */
	_Atomic uint64_t pending[GATE_PENDING_MAX];
};

/* Sizes, reserves and fills the file: both halves are not had, for that reason. 0 or -errno. */
int gateboard_format(int fd, const char *why);
/* Maps it and checks its header. 0, -EBADMSG or -errno. */
int gateboard_map(int fd, bool is_writable, struct gateboard **ret_board);

/* The gate. Texts that are too long are cut. */
void gateboard_write_rung(struct gateboard *board, enum gate_half half, enum protection_level level,
			  const char *rung, const char *why);
/* Counts it too. */
void gateboard_write_refusal(struct gateboard *board, const struct gate_refusal *refusal);

/* Counts a refused call by unit, is_deadly and name; call->count is not looked at. The count with this
 * one; 0: there is no room for another kind, and it is counted among those. */
uint64_t gateboard_note_call(struct gateboard *board, const struct gate_call *call);
/* So many got lost before anybody could look at them, at least. */
void gateboard_note_lost_calls(struct gateboard *board, uint64_t count);

/* Copies whose texts end and whose numbers are in range, whatever stands there. */
struct gate_rung gateboard_read_rung(const struct gateboard *board, enum gate_half half);
struct gate_refusal gateboard_read_refusal(const struct gateboard *board);
/* The i-th refused call; false: there are no more. */
bool gateboard_read_call(const struct gateboard *board, uint32_t i, struct gate_call *ret_call);
uint64_t gateboard_calls_beyond(const struct gateboard *board);
/* Grows with every write. */
uint64_t gateboard_changes(const struct gateboard *board);
uint64_t gateboard_count(const struct gateboard *board, enum gate_counter counter);
