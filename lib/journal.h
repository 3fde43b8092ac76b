#pragma once
/*
 * The journal: what PID 1 saw and the supervisor must not miss, in shared memory with one writer.
 *
 * PID 1 peeks at a zombie (waitid WNOWAIT), appends an entry, and only then reaps it; a signal that
 * was sent to PID 1 is appended likewise. The supervisor applies entries in order and stores the
 * seq of the last one together with the change that it made, on the board. Its successor starts
 * from there: nothing is applied twice, nothing is missed. While the journal is full, zombies wait
 * in the kernel.
 *
 * Only pids that stand in a slot of the board are journalled; all other orphans are reaped at once.
 */
#include <stdbool.h>
#include <stdint.h>

#define JOURNAL_CAPACITY 1024 /* a power of two */

enum journal_kind { JOURNAL_EXIT = 1, JOURNAL_SIGNAL };

struct journal_entry {
	uint64_t seq; /* from 1 */
	uint32_t kind;
	int32_t pid;   /* of the exit, or the sender's as PID 1 sees it (0: from outside) */
	uint32_t unit; /* exit: where the pid stood on the board */
	uint32_t slot;
	int32_t code;	/* exit: CLD_EXITED, CLD_KILLED or CLD_DUMPED; signal: its number */
	int32_t status; /* exit: the status or the signal; signal: the sender's uid */
	uint64_t user_us, system_us, max_rss_kb; /* exit: what it used (wait4(2)) */
};

struct journal {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;
	_Atomic uint64_t head;	     /* seq of the last entry that is complete */
	_Atomic uint64_t answers;    /* liveness: PID 1 adds one when it was asked */
	_Atomic uint64_t deaths[16]; /* of holdfast's own processes, by role, since boot */
	_Atomic int32_t pids[16];    /* of those that run, by role; 0: none */
	struct journal_entry entries[JOURNAL_CAPACITY];
};

/* Makes a journal of its own size in fd. 0 or -errno. */
int journal_format(int fd);
/* Maps it and checks its header. 0, -EBADMSG or -errno. */
int journal_map(int fd, bool is_writable, struct journal **ret_journal);

/* PID 1: whether an entry fits when the supervisor has applied up to cursor. */
bool journal_has_room(const struct journal *journal, uint64_t cursor);
/* PID 1: appends *entry (seq is filled in) and publishes it. The caller checked for room. */
void journal_append(struct journal *journal, struct journal_entry *entry);
/* Copies the entry with that seq; false when it is not there (yet, or any more). */
bool journal_read(const struct journal *journal, uint64_t seq, struct journal_entry *ret_entry);
