#pragma once
/*
 * Who is that process? Whoever was started here stands below one that holdfast knows: the processes
 * of units by the slots of the board, holdfast's own by the journal. A process that joined the PID
 * namespace from outside has no parent in it (its PPid is 0). What lost its parent is PID 1's child:
 * there the mark tells, as each process of a marked unit (UNIT_IS_MARKED) has more seccomp filters
 * than PID 1, and what comes from outside has not.
 *
 * Two from outside are let be: holdfastctl, known by its file and not by its name (exec HEALTHCHECKs and
 * probes), and for a moment a runtime that has forked and still prepares its exec. Which file it is may
 * not be known in the midst of execve(2), while the runtime's memory, that nobody may look at, has been
 * replaced and the new one's owner is not yet set: so that has a moment, too.
 *
 * All that is known of a process is text of /proc that it may have a hand in (its name, its groups), read
 * at different moments: so only the end of the chain, and never a name, decides; and whoever acts on
 * JUDGE_INTRUDER pins the process by a pidfd and asks again.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/board.h"
#include "lib/clock.h"
#include "lib/journal.h"
#include "lib/proc.h"

enum judge_verdict {
	JUDGE_GONE,	/* has ended meanwhile */
	JUDGE_OURS,	/* started here, or by the kernel */
	JUDGE_VISITOR,	/* holdfastctl or the stub, from outside */
	JUDGE_YOUNG,	/* it cannot be told yet: to be asked again, until grace_us has passed */
	JUDGE_INTRUDER, /* nobody here started it */
	JUDGE_COUNT
};

#define JUDGE_SESSIONS	   16
#define JUDGE_CONDEMNED_US (30 * USEC_PER_SEC)

struct judge {
	int proc_fd;		       /* an open /proc of this PID namespace */
	const struct board *board;     /* NULL: there are no units */
	const struct journal *journal; /* NULL: nobody of ours is known */
	dev_t visitor_dev;	       /* the file of holdfastctl; inode 0: there is none */
	ino_t visitor_ino;
	dev_t stub_dev; /* likewise of holdfast-refuse, which does nothing */
	ino_t stub_ino;
	uint64_t capabilities;	 /* whose holders' files we may look at; all: anybody's */
	bool are_orphans_marked; /* who has lost its parent and no mark is an intruder's */
	bool has_counts;	 /* the kernel counts filters (5.9) */
	bool is_pursuing;	 /* no orphan without the mark is let be, however young */
	uint32_t init_filters;	 /* of PID 1 */
	/* The sessions of intruders: what they leave behind is known by them. A ring. Their numbers are
	 * pids, which others will have one day: none is remembered for longer than JUDGE_CONDEMNED_US
	 * after the last of its processes was found. */
	struct judge_session {
		int32_t session;
		uint64_t until_us;
	} sessions[JUDGE_SESSIONS];
	uint32_t n_sessions;
};

/* What a process's status file tells. */
struct judge_status {
	uint32_t uid, gid; /* real ones */
	bool has_filters;
	uint32_t filters;      /* in force, of seccomp */
	uint64_t capabilities; /* permitted ones */
};

struct judge_result {
	struct proc_stat stat; /* its own; of one that is known its pid alone */
	int32_t top;	       /* the first of the chain that is not ours; 0: all are */
	int32_t top_session;
	bool is_stub;	/* JUDGE_VISITOR: the stub, under the name that was asked for */
	bool is_orphan; /* JUDGE_YOUNG, JUDGE_INTRUDER: PID 1 is its or the first one's parent */
	bool is_executing; /* JUDGE_YOUNG: it is on its way into a program that is not to be seen yet */
	uint64_t grace_us; /* JUDGE_YOUNG: how long it may be so */
};

/* The text of a status file, as far as it was read. 0, or -EBADMSG when it says nothing of its owner. */
int judge_parse_status(const char *text, struct judge_status *ret_status);

/* Finds out what PID 1 has. All above it is filled in. 0 or -errno. */
int judge_prepare(struct judge *judge);

enum judge_verdict judge_process(const struct judge *judge, int32_t pid,
				 struct judge_result *ret_result);

/* From now on the session's other processes are intruders too. */
void judge_condemn(struct judge *judge, int32_t session);

/* As the status file says it now. 0 or -errno. */
int judge_read_status(const struct judge *judge, int32_t pid, struct judge_status *ret_status);

/* For an event: the path of its program, or its name in brackets where that may not be known. Any
 * bytes; never empty. */
void judge_describe(const struct judge *judge, const struct proc_stat *stat, char *text,
		    size_t size);
