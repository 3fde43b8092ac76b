#pragma once
/*
 * The board: the state of the instance in shared memory, written by the supervisor alone, read by
 * PID 1, health and holdfastctl without asking anybody.
 *
 * Each record has two copies and an index that says which one holds. The writer fills the other
 * copy and flips the index with release order, so a writer that dies at any instruction leaves the
 * old record or the new one, never a torn one, and a reader never waits (a reader that was overtaken
 * by a flip notices and reads again).
 *
 * Beside the records lies the array of pid slots. The kernel writes a child's pid there inside
 * clone3 (CLONE_PARENT_SETTID), so no child can exist that PID 1 cannot find. 0 = empty.
 *
 * Fixed plain data, one bounded text field a unit. History belongs to the ring.
 *
 * What holdfast itself works by is memory that has no name and whose size is sealed. A file that others
 * may look at is a copy (board_copy_to): root among the services can write to it, cut it and fill
 * the memory below it, and would otherwise end PID 1 by that.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/event.h"

#define BOARD_TEXT_MAX	  96
#define BOARD_FAILURE_MAX 512

enum board_phase {
	BOARD_BOOTING,	/* the supervisor has not started anything yet */
	BOARD_STARTING, /* wanted units are on their way up */
	BOARD_RUNNING,	/* startup is complete */
	BOARD_DRAINING, /* a stop was asked for; readiness is withdrawn, nothing is stopped yet */
	BOARD_STOPPING, /* units are being stopped, in reverse order */
	BOARD_STOPPED,	/* nothing of ours runs; exit_status holds */
	BOARD_PHASE_COUNT
};
extern const char *const board_phase_names[BOARD_PHASE_COUNT];

/* What a pid slot is for. */
enum board_slot {
	SLOT_MAIN,    /* the service */
	SLOT_CONTROL, /* ExecStartPre=, …Post=, ExecStop=, a forking service's first process */
	SLOT_HELPER,  /* holdfast-secrets, a probe */
	SLOT_SPARE,
	SLOT_REFRESH, /* what is done about the unit's secrets beside its life: holdfast-secrets, or
			 a child that delivers new values. No stop of the unit waits for it */
	SLOT_COUNT
};

/* The states of a unit; the table of transitions is supervisor/unit.c's. */
#define UNIT_STATES(X)                                    \
	X(INACTIVE, "inactive", "inactive")               \
	X(FETCHING, "fetching", "activating")             \
	X(CONDITION, "condition", "activating")           \
	X(START_PRE, "start-pre", "activating")           \
	X(START, "start", "activating")                   \
	X(START_POST, "start-post", "activating")         \
	X(RUNNING, "running", "active")                   \
	X(EXITED, "exited", "active")                     \
	X(DRAIN, "drain", "active")                       \
	X(STOP, "stop", "deactivating")                   \
	X(STOP_SIGTERM, "stop-sigterm", "deactivating")   \
	X(STOP_SIGKILL, "stop-sigkill", "deactivating")   \
	X(STOP_POST, "stop-post", "deactivating")         \
	X(FINAL_SIGTERM, "final-sigterm", "deactivating") \
	X(FINAL_SIGKILL, "final-sigkill", "deactivating") \
	X(AUTO_RESTART, "auto-restart", "activating")     \
	X(FAILED, "failed", "failed")

enum unit_state {
#define X(id, name, active) UNIT_##id,
	UNIT_STATES(X)
#undef X
		UNIT_STATE_COUNT
};
extern const char *const unit_state_names[UNIT_STATE_COUNT];
/* systemd's coarse word for it: inactive, activating, active, deactivating, failed. */
extern const char *const unit_active_names[UNIT_STATE_COUNT];

/* Why a unit failed (or "success"): systemd's words for $SERVICE_RESULT, and three of ours. */
#define UNIT_RESULTS(X)                   \
	X(SUCCESS, "success")             \
	X(PROTOCOL, "protocol")           \
	X(TIMEOUT, "timeout")             \
	X(EXIT_CODE, "exit-code")         \
	X(SIGNAL, "signal")               \
	X(CORE_DUMP, "core-dump")         \
	X(WATCHDOG, "watchdog")           \
	X(START_LIMIT, "start-limit-hit") \
	X(OOM_KILL, "oom-kill")           \
	X(RESOURCES, "resources")         \
	X(CONDITION, "condition")         \
	X(ASSERT, "assert")               \
	X(DEPENDENCY, "dependency")       \
	X(SECRETS, "secrets")             \
	X(PROBE, "probe")

enum unit_result {
#define X(id, name) RESULT_##id,
	UNIT_RESULTS(X)
#undef X
		RESULT_COUNT
};
extern const char *const unit_result_names[RESULT_COUNT];

/* What is wanted of a unit; the manager works from the difference to its state. */
enum unit_goal { GOAL_DOWN, GOAL_UP, GOAL_COUNT };

/* board_unit.flags */
#define BOARD_UNIT_READY	   (1U << 0) /* READY=1 came, or what stands for it */
#define BOARD_UNIT_STOPPING	   (1U << 1) /* the service said STOPPING=1 */
#define BOARD_UNIT_RELOADING	   (1U << 2)
#define BOARD_UNIT_MAIN_EXITED	   (1U << 3) /* exit_code and exit_status hold */
#define BOARD_UNIT_CONDITION_UNMET (1U << 4) /* skipped, which is no failure */
#define BOARD_UNIT_TRIGGER_PENDING (1U << 5) /* OnFailure= or OnSuccess= is still to be started */
#define BOARD_UNIT_RESTARTING	   (1U << 6) /* goes down in order to come up again */
#define BOARD_UNIT_KILLED	   (1U << 7) /* had to be SIGKILLed by the stop budget */
#define BOARD_UNIT_SETTLED \
	(1U << 8) /* its run is over for good, well or badly: GOAL_UP is not
						 tried again */
#define BOARD_UNIT_SECRETS_READY (1U << 9)  /* STORE_SECRET holds all that the unit asked for */
#define BOARD_UNIT_WATCHDOG_BIT	 (1U << 10) /* the next TERM is WatchdogSignal= instead */
#define BOARD_UNIT_FORKED	 (1U << 11) /* its first process ended well; the pid file is waited for */
#define BOARD_UNIT_STARTED	 (1U << 12) /* its startup probe has passed in this run */
#define BOARD_UNIT_SIGNALLED	 (1U << 13) /* the signal of this stage of the stop was sent */
#define BOARD_UNIT_PLANNED \
	(1U << 14) /* restarted for its secrets, which is no failure: not counted, without
			      delay; until it is up or down */

struct board_unit {
	uint64_t generation; /* of this record; grows by one a flip */
	uint64_t applied;    /* seq of the last journal entry applied to this unit */
	uint32_t state;	     /* enum unit_state */
	uint32_t goal;	     /* enum unit_goal */
	uint32_t result;     /* enum unit_result, of the last run */
	uint32_t flags;
	uint32_t command; /* the next or running command of the state's exec list */
	uint32_t restarts;
	uint64_t since_us, since_wall_us; /* when the state was entered */
	uint64_t active_us;		  /* when it last became active; 0 never */
	uint64_t deadline_us;		  /* of the state; USEC_INFINITY none */
	uint64_t watchdog_us;		  /* when the watchdog bites; USEC_INFINITY none */
	uint64_t started_us;		  /* when this run of the unit began */
	uint64_t limit_since_us;	  /* start of the start-limit interval */
	uint32_t limit_count;
	int32_t exit_code;   /* CLD_… of the last main process */
	int32_t exit_status; /* its status or signal */
	int32_t exec_error;  /* systemd's 200+ number when set-up failed, else 0 */
	int32_t session;     /* of the last main process: how to find what it left behind where
				there are no cgroups (getsid(2) of it); 0 none */
	uint32_t reserved;
	uint64_t cpu_us, max_rss_kb; /* of ended main processes */
};

struct board_unit_record {
	_Atomic uint32_t current; /* 0 or 1 */
	uint32_t reserved;
	struct board_unit copies[2];
	char text[BOARD_TEXT_MAX]; /* STATUS= of the service; may be seen half-written, always
				      ends with NUL */
};

/* What is being done about a unit's secrets beside its life, in SLOT_REFRESH. */
enum life_work {
	LIFE_IDLE,
	LIFE_REFRESHING,
	LIFE_DELIVERING, /* a child writes the unit's credentials directory */
	LIFE_REVOKING,
	LIFE_REVOKED,
	LIFE_WORK_COUNT
};
extern const char *const life_work_names[LIFE_WORK_COUNT];

/* board_life.flags */
#define LIFE_STALE (1U << 0) /* newer values are known than the unit runs with */
#define LIFE_KEPT  (1U << 1) /* the last look failed, at least in part: older values serve */

/* The secrets of a unit as a whole. */
struct board_life {
	uint64_t generation;
	uint64_t applied;	    /* seq of the last journal entry applied to it */
	uint32_t work;		    /* enum life_work */
	uint32_t flags;		    /* LIFE_… */
	uint32_t side;		    /* 0: STORE_SECRET holds, 1: STORE_SECRET_OTHER */
	uint32_t attempts;	    /* failures in a row */
	uint32_t failures;	    /* in all */
	uint32_t fetches;	    /* that ended well, refreshes too */
	int32_t status;		    /* exit status of the last run; 0: well */
	uint32_t failed_deliveries; /* in a row */
	uint64_t run_us;	    /* started_us of the run that attempts are counted for */
	uint64_t due_us;	    /* the next try; USEC_INFINITY never */
	uint64_t deadline_us;	    /* of the helper that runs */
	uint64_t apply_us;	    /* when a change is applied; USEC_INFINITY: there is none */
	uint64_t lease_end_us;	    /* the values end for good; USEC_INFINITY never */
	uint64_t fetched_us;	    /* the last look that ended well; 0 never */
	uint64_t fetched_wall_us;
};

struct board_life_record {
	_Atomic uint32_t current;
	uint32_t reserved;
	struct board_life copies[2];
};

#define BOARD_SECRET_VERSION_MAX 64

/* One secret of the plan, as its last fetch left it. */
struct board_secret {
	uint64_t generation;
	uint64_t fetched_us; /* 0: never had */
	uint64_t fetched_wall_us;
	int64_t expires;  /* Unix seconds: the first end of a certificate in it; 0: none */
	uint32_t outcome; /* enum secret_outcome of the last try (lib/secretreport.h) */
	uint32_t flags;	  /* BOARD_SECRET_… */
	uint32_t length;  /* bytes of its value; of a path: how many it has */
	uint32_t lease_s; /* 0: none */
	char version[BOARD_SECRET_VERSION_MAX]; /* printable, ends with NUL */
};
#define BOARD_SECRET_KEPT   (1U << 0) /* the last try failed: the value is an older one */
#define BOARD_SECRET_ABSENT (1U << 1) /* optional and not there */

struct board_secret_record {
	_Atomic uint32_t current;
	uint32_t reserved;
	struct board_secret copies[2];
};

struct board_manager {
	uint64_t generation;
	uint64_t cursor;      /* every journal entry up to this one is applied */
	uint32_t phase;	      /* enum board_phase */
	uint32_t exit_status; /* of the instance, once phase is BOARD_STOPPED or a cause stands */
	uint32_t cause_unit;  /* the unit that ended the instance, or PLAN_NO_UNIT */
	uint32_t cause;	      /* enum unit_result of it */
	uint32_t signal;      /* that asked for the stop; 0 none */
	uint32_t stop_count;  /* how often it was asked */
	uint64_t stop_us;     /* when it was first asked; 0 never */
	uint64_t deadline_us; /* the end of the drain or of the stop budget */
	uint64_t ready_us;    /* when startup was complete; 0 not yet */
};

struct board_manager_record {
	_Atomic uint32_t current;
	uint32_t reserved;
	struct board_manager copies[2];
};

/* The last set-up that failed, as the child said it before it ended: what its unit's record has as a
 * number. One for all units, as it is the one that ended the instance that matters. */
struct board_failure {
	uint32_t unit;
	char text[BOARD_FAILURE_MAX]; /* as board_unit_record.text */
	uint32_t reserved;
};

struct board_header {
	uint64_t magic;
	uint32_t version;
	uint32_t n_units;
	uint32_t n_secrets;
	uint32_t reserved;
	uint64_t size;
	_Atomic uint64_t changes; /* grows with every flip of any record */
	_Atomic uint64_t answers; /* liveness: the supervisor adds one when it was asked */
	_Atomic int32_t supervisor_pid;
	_Atomic uint32_t supervisor_starts;
	struct board_manager_record manager;
	struct board_failure failure;
	struct event_box lines; /* the supervisor's own */
};

struct board {
	struct board_header *header;
	struct board_unit_record *units;
	struct board_secret_record *secrets;  /* one a plan secret */
	struct board_life_record *lives;      /* as many; a unit's stands at its first secret */
	_Atomic int32_t (*slots)[SLOT_COUNT]; /* one row a unit */
	uint32_t n_units, n_secrets;
	struct board_copy *copy; /* NULL: nobody reads along */
};

/* The size of the file for that many units and secrets of the plan. */
size_t board_file_size(uint32_t n_units, uint32_t n_secrets);

/* Sizes, reserves and fills the file: every unit inactive. 0, -ENOSPC, or -errno. */
int board_format(int fd, uint32_t n_units, uint32_t n_secrets);
/* Maps it and checks its header. 0, -EBADMSG or -errno. */
int board_map(int fd, bool is_writable, struct board *ret_board);

/*
 * The supervisor: copies everything to fd (borrowed), a file of board_file_size, so that
 * its readers read as they would the original. From here on records that are written wait for
 * board_publish; what is rare (texts, secrets) is copied at once. What cannot be copied is not: it is
 * for looking at. Nobody reads along any more after a negative one.
 */
void board_copy_to(struct board *board, int fd);
/* The unit's slots changed, which the kernel did. */
void board_copy_slots(const struct board *board, uint32_t unit);
/* Copies what was written since: once for however often. Before anybody waits, or is told of it. */
void board_publish(const struct board *board);

/* A consistent copy of a record. Never blocks. */
struct board_unit board_read_unit(const struct board *board, uint32_t unit);
struct board_manager board_read_manager(const struct board *board);
struct board_secret board_read_secret(const struct board *board, uint32_t secret);
/* Of the unit whose first secret that is. */
struct board_life board_read_life(const struct board *board, uint32_t first_secret);

/* The supervisor: the record in force, to look at. Valid until the next write of the same record. */
const struct board_unit *board_peek_unit(const struct board *board, uint32_t unit);
const struct board_manager *board_peek_manager(const struct board *board);
const struct board_secret *board_peek_secret(const struct board *board, uint32_t secret);
const struct board_life *board_peek_life(const struct board *board, uint32_t first_secret);
/* The supervisor: publishes *next as the unit's record; generation is filled in. */
void board_write_unit(struct board *board, uint32_t unit, const struct board_unit *next);
void board_write_manager(struct board *board, const struct board_manager *next);
void board_write_secret(struct board *board, uint32_t secret, const struct board_secret *next);
void board_write_life(struct board *board, uint32_t first_secret, const struct board_life *next);
void board_write_text(struct board *board, uint32_t unit, const char *text);
void board_write_failure(struct board *board, uint32_t unit, const char *text);
/* What was last said of the unit, or "" when another one's came after it. */
void board_read_failure(const struct board *board, uint32_t unit, char ret_text[BOARD_FAILURE_MAX]);

/* How a secret is, in a word: waiting, fresh, stale (newer values are known), kept (it could not be
 * looked at), absent (optional) or failed. */
const char *board_secret_word(const struct board_secret *secret, const struct board_life *life);

/* PID 1: finds the slot that holds pid. False: nobody's. */
bool board_find_pid(const struct board *board, int32_t pid, uint32_t *ret_unit, uint32_t *ret_slot);
