#pragma once
/*
 * The store: every fd that must outlive a process, kept by PID 1 under {kind, index}.
 *
 * PID 1 describes its store in one shared table, itself an fd with the fixed number STORE_FD. A
 * process of holdfast inherits that table and, under the very numbers that they have in PID 1, the
 * fds of the kinds that its role is granted (store_grants, the one table of who may hold what). So
 * a respawn is the same as the first start, nothing is sent, nothing is counted, and no message
 * can be lost.
 *
 * Only PID 1 writes the table. Entries that were dropped have kind STORE_NONE. All fds in PID 1
 * are close-on-exec; its child clears the flag on what the role is granted, and the started
 * program sets it again (store_attach), so that no service inherits anything by accident.
 *
 * Beside the store a process gets 0, 1 and 2: stdin and stdout are /dev/null and stderr is its own
 * stream, but the supervisor's stdin is the one that PID 1 was given (UNIT_STDIN_INHERIT), and
 * boot's three are.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_FD 3

enum role {
	ROLE_INIT, /* PID 1 itself: its stream of events; never spawned */
	ROLE_BOOT,
	ROLE_SUPERVISOR,
	ROLE_LOG,
	ROLE_HEALTH,
	ROLE_GATE,
	ROLE_SECRETS,	     /* spawned by the supervisor: file:, env:, cred: */
	ROLE_SECRETS_REMOTE, /* likewise, for units that have ssm:, asm: or vault: too */
	ROLE_CTL,	     /* the dump that PID 1 asks for */
	ROLE_COUNT
};

/* The programs' file names, beside PID 1's own. */
extern const char *const role_programs[ROLE_COUNT];

/* An index of STORE_EXEC: holdfast-refuse, which no process of ours becomes. */
#define STORE_EXEC_STUB ROLE_COUNT

enum store_kind {
	STORE_NONE,
	STORE_EXEC, /* index: role, or STORE_EXEC_STUB; O_PATH fd of its program, opened at boot */
	STORE_PLAN, /* sealed memfd; lib/plan.h */
	STORE_PLAN_PUBLIC,   /* the same without values of the environment */
	STORE_BOARD,	     /* memfd, sealed in its size; read-write: the supervisor's alone */
	STORE_BOARD_PUBLIC,  /* read-only */
	STORE_BOARD_FILE,    /* the 0444 file, read-write: the supervisor's copy for others */
	STORE_JOURNAL,	     /* read-write: PID 1's alone */
	STORE_JOURNAL_READ,  /* read-only */
	STORE_RING,	     /* read-write: log's alone */
	STORE_RING_PUBLIC,   /* read-only */
	STORE_CAPTURE,	     /* read-write: log's raw area, unscrubbed; nobody else's */
	STORE_ENVIRON,	     /* sealed: the environment that PID 1 was given, "NAME=VALUE\0"... */
	STORE_OUTPUT,	     /* the stdout that PID 1 was given: log's alone */
	STORE_PIPE_READ,     /* index: stream (see stream_of_unit) */
	STORE_PIPE_WRITE,    /* index: stream */
	STORE_NOTIFY,	     /* AF_UNIX datagram socket behind $NOTIFY_SOCKET */
	STORE_LISTEN,	     /* index: which address of [Health] Listen= */
	STORE_SOCKET,	     /* index: plan socket */
	STORE_SECRET,	     /* index: unit; what holdfast-secrets filled, NAME=VALUE\0... */
	STORE_SECRET_OTHER,  /* index: unit; the same: one holds (board_life.side), one is
			       being filled */
	STORE_SECRET_STATE,  /* index: unit; read-write, what the helper remembers from run to run:
			       tokens, leases, versions. Passed to the remote helper alone */
	STORE_SECRET_REPORT, /* index: unit; lib/secretreport.h, of the last run; no value in it */
	STORE_SECRET_FILE, /* index: plan secret; a source that only root may read, opened at boot */
	STORE_FINGERPRINTS, /* read-write, helpers: keyed fingerprints of what log has to hide */
	STORE_FINGERPRINTS_READ, /* read-only, log */
	STORE_FINGERPRINT_KEY,	 /* sealed: random bytes that boot drew for them */
	STORE_CREDENTIALS,	 /* directory on memory that cannot swap, where there is one */
	STORE_CGROUP,		 /* directory of our own cgroup2 subtree, where there is one */
	STORE_GATE,		 /* read-write: the gate's alone; lib/gateboard.h */
	STORE_GATE_PUBLIC,	 /* read-only */
	STORE_EXEC_GATE,	 /* the fanotify group that stops executions; gate/exec.h */
	STORE_AUDIT,	/* on a host: the kernel's words of refused system calls; gate/calls.h */
	STORE_WATCHDOG, /* on a host: the armed /dev/watchdog, for PID 1 to feed */
	STORE_BUTTON,	/* on a host: readable when the power button was pressed */
	STORE_ROOM,	/* index: enum room_fd; PID 1's room and the way back (lib/room.h) */
	STORE_CHANNEL,	/* the supervisor's end of its channel to PID 1 (lib/proto.h) */
	STORE_EVENT_JOURNAL,	    /* eventfd: PID 1 appended to the journal -> supervisor */
	STORE_EVENT_PHASE,	    /* eventfd: the instance's phase changed -> PID 1 */
	STORE_EVENT_ASK_INIT,	    /* eventfd: are you alive? health -> PID 1 */
	STORE_EVENT_ASK_SUPERVISOR, /* the same -> supervisor */
	STORE_EVENT_ANSWER,	    /* eventfd: somebody answered -> health */
	STORE_KIND_COUNT
};

/* Streams: two for each unit, then one for each role of holdfast's own. */
#define STREAM_STDOUT 0
#define STREAM_STDERR 1
static inline uint32_t stream_of_unit(uint32_t unit, uint32_t which)
{
	return unit * 2 + which;
}
static inline uint32_t stream_of_role(uint32_t n_units, enum role role)
{
	return n_units * 2 + (uint32_t)role;
}
static inline uint32_t stream_count(uint32_t n_units)
{
	return n_units * 2 + ROLE_COUNT;
}

struct store_entry {
	uint32_t kind;
	uint32_t index;
	int32_t fd;
	uint32_t reserved;
};

/*
 * What PID 1 was started with and has changed for itself. Services get it back: whoever spawns one
 * restores it between fork and exec.
 */
struct store_inherited {
	uint64_t mask;			   /* signals that were blocked; bit 1 << (number - 1) */
	uint64_t ignored;		   /* signals that were ignored; likewise */
	uint64_t nofile_soft, nofile_hard; /* RLIMIT_NOFILE; UINT64_MAX: no limit */
};

struct store_table {
	uint64_t magic;
	uint32_t build; /* BUILD_ID of whoever made it */
	uint32_t capacity;
	struct store_inherited inherited;
	_Atomic uint32_t count; /* entries in use or dropped; the rest was never used */
	uint32_t reserved;
	struct store_entry entries[];
};

/* Bit 1 << kind for each kind that the role is handed; of STORE_EXEC those programs alone that it needs. */
extern const uint64_t store_grants[ROLE_COUNT];

/* ---- PID 1's side. All of it works without allocation once the table is mapped. */

/* Makes the table with room for capacity entries and puts it at STORE_FD (which must be free, or
 * is closed first). 0 or -errno. */
int store_create(uint32_t capacity, struct store_table **ret_table);

/* Takes fd; an older fd under the same name is closed. 0 or -ENOSPC (fd is then closed). */
int store_put(struct store_table *table, enum store_kind kind, uint32_t index, int fd);
void store_drop(struct store_table *table, enum store_kind kind, uint32_t index);

/* In the child, before exec: what the role is granted survives it. Async-signal-safe. */
void store_expose(const struct store_table *table, enum role role);

/* ---- Everybody's side. */

/* Maps the table at STORE_FD read-only and makes every granted fd close-on-exec again. 0, -EBADF
 * when there is no table (the program was started by hand), -ESTALE when who made it is of another build,
 * whose memory may have another layout, or -errno. */
int store_attach(enum role role, const struct store_table **ret_table);

/* Why it failed, as a sentence. */
const char *store_strerror(int error);

/* The fd (borrowed), or -EBADF. A linear search: keep what you use often. */
int store_find(const struct store_table *table, enum store_kind kind, uint32_t index);

/* The next entry of kind at or after *cursor, which is moved behind it; NULL at the end. */
const struct store_entry *store_next(const struct store_table *table, enum store_kind kind,
				     uint32_t *cursor);
