#pragma once
/*
 * The plan: units and configuration as holdfast-boot compiled them, in one relocatable block that
 * is sealed before anything reads it. It is the only thing that the supervisor reads in place of
 * text, and it also fixes every unit's index for the life of the instance.
 *
 * The block is a header and four sections: fixed records (units, execs, sockets, …), lists (runs of
 * uint32_t: string offsets or indices) and strings. Every reference is an offset or an index that
 * plan_open checked once, so that the accessors below need no error path. Offset 0 of the strings
 * is the empty string, and stands for "not set" where that makes sense.
 *
 * The public plan is the same block without what may hold a value: environments and command lines
 * of units are left empty, of a secret's reference the kind alone stands there ("file:"). Log, health
 * and holdfastctl read that one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC	 UINT64_C(0x6e616c706668)
#define PLAN_VERSION	 5
#define PLAN_UNITS_MAX	 4096
#define PLAN_NO_UNIT	 UINT32_MAX
#define PLAN_INFINITY_US UINT64_MAX
#define PLAN_NO_ID	 UINT32_MAX /* a uid or gid that is not set */

/* An offset into the strings. */
typedef uint32_t plan_str;

/* count entries of the lists section from first on. */
struct plan_list {
	uint32_t first;
	uint32_t count;
};

/* count records of a section from first on. */
struct plan_range {
	uint32_t first;
	uint32_t count;
};

enum unit_kind { UNIT_SERVICE, UNIT_TARGET, UNIT_SOCKET, UNIT_KIND_COUNT };

enum service_type {
	SERVICE_SIMPLE,
	SERVICE_EXEC,
	SERVICE_ONESHOT,
	SERVICE_NOTIFY,
	SERVICE_FORKING,
	SERVICE_TYPE_COUNT
};

enum restart_policy {
	RESTART_NO,
	RESTART_ON_SUCCESS,
	RESTART_ON_FAILURE,
	RESTART_ON_ABNORMAL,
	RESTART_ON_WATCHDOG,
	RESTART_ON_ABORT,
	RESTART_ALWAYS,
	RESTART_COUNT
};

enum kill_mode { KILL_CONTROL_GROUP, KILL_MIXED, KILL_PROCESS, KILL_NONE, KILL_MODE_COUNT };

enum notify_access { NOTIFY_NONE, NOTIFY_MAIN, NOTIFY_EXEC, NOTIFY_ALL, NOTIFY_ACCESS_COUNT };

/* What an end of the unit means for the instance. */
enum unit_action { ACTION_NONE, ACTION_EXIT, ACTION_EXIT_FORCE, UNIT_ACTION_COUNT };

/* How far holdfast holds a unit's processes in, beyond what the unit's own keys say. */
enum unit_sandbox {
	UNIT_SANDBOX_STRICT,
	UNIT_SANDBOX_UNIT, /* what cannot break a service that was written for systemd */
	UNIT_SANDBOX_NONE, /* nothing but the mark: UNIT_IS_MARKED */
	UNIT_SANDBOX_COUNT
};

/*
 * System calls that a sandbox denies, by what they are good for: the words of SandboxAllow=, and the
 * bits (1 << …) of plan_unit.denied_calls. supervisor/service-filter.list has the calls.
 */
enum call_group {
	CALLS_TTY,
	CALLS_PTRACE,
	CALLS_NAMESPACES,
	CALLS_MOUNT,
	CALLS_BPF,
	CALLS_KEYRING,
	CALLS_USERFAULTFD,
	CALLS_MEMFD,
	CALLS_FEXECVE,
	CALLS_IO_URING,
	CALLS_CLOCK,
	CALLS_MODULES,
	CALLS_REBOOT,
	CALLS_RAW_IO,
	CALLS_ADMIN,
	CALLS_HANDLES,
	CALLS_PERSONALITY,
	CALLS_FOREIGN,
	CALL_GROUP_COUNT
};
#define CALLS_ALL ((UINT32_C(1) << CALL_GROUP_COUNT) - 1)

/* Where a list of commands belongs. */
enum exec_phase {
	EXEC_CONDITION,
	EXEC_START_PRE,
	EXEC_START,
	EXEC_START_POST,
	EXEC_STOP,
	EXEC_STOP_POST,
	EXEC_PHASE_COUNT
};

/* Relations, from the unit that names them; each list holds unit indices. The inverses (…_OF,
 * …_BY) are compiled too, so that nobody has to search. */
enum unit_relation {
	REL_REQUIRES,
	REL_REQUISITE,
	REL_WANTS,
	REL_BINDS_TO,
	REL_PART_OF,
	REL_CONFLICTS,
	REL_BEFORE, /* this one is started before those, and stopped after them */
	REL_AFTER,  /* inverse of REL_BEFORE; both lists are complete whichever unit said it */
	REL_ON_FAILURE,
	REL_ON_SUCCESS,
	REL_TRIGGERS, /* a socket unit: its service */
	REL_REQUIRED_BY,
	REL_REQUISITE_OF,
	REL_WANTED_BY,
	REL_BOUND_BY,
	REL_CONSISTS_OF, /* inverse of REL_PART_OF */
	REL_CONFLICTED_BY,
	REL_TRIGGERED_BY, /* a service: its socket units */
	UNIT_RELATION_COUNT
};

#define EXEC_IGNORE_FAILURE (1U << 0) /* prefix - */
#define EXEC_OWN_ARGV0	    (1U << 1) /* prefix @: argv[0] differs from path */
#define EXEC_FULL_RIGHTS    (1U << 2) /* prefix +, ! and !!: no ids, no sandbox */
#define EXEC_BUILTIN_KILL   (1U << 3) /* /bin/kill [-SIGNAL] $MAINPID, without that binary: argv */

/*
 * One command. The arguments are final text: quoting, specifiers and variables were resolved by
 * the compiler, but for what is known only when it runs. Those stand as one byte each, which no
 * unit file can contain: */
#define PLAN_ARG_MAINPID     '\x01'
#define PLAN_ARG_RESULT	     '\x02' /* $SERVICE_RESULT */
#define PLAN_ARG_EXIT_CODE   '\x03' /* $EXIT_CODE */
#define PLAN_ARG_EXIT_STATUS '\x04' /* $EXIT_STATUS */

struct plan_exec {
	plan_str path; /* absolute */
	struct plan_list argv;
	uint32_t flags;
};

enum condition_type {
	CONDITION_PATH_EXISTS,
	CONDITION_PATH_IS_DIRECTORY,
	CONDITION_PATH_IS_SYMBOLIC_LINK,
	CONDITION_PATH_IS_MOUNT_POINT,
	CONDITION_PATH_IS_READ_WRITE,
	CONDITION_FILE_NOT_EMPTY,
	CONDITION_FILE_IS_EXECUTABLE,
	CONDITION_DIRECTORY_NOT_EMPTY,
	CONDITION_CONSTANT, /* decided at boot (virtualisation, kernel command line, …): parameter
			       "yes" or "no" */
	CONDITION_TYPE_COUNT
};

#define CONDITION_NEGATE  (1U << 0) /* ! */
#define CONDITION_TRIGGER (1U << 1) /* |: one of these is enough */
#define CONDITION_ASSERT  (1U << 2) /* a failure, not a skip */

struct plan_condition {
	uint32_t type;
	uint32_t flags;
	plan_str parameter;
	plan_str text; /* as it was written, for the message */
};

/* RuntimeDirectory= and its like, in the order of systemd.exec(5)'s table. */
enum directory_type {
	DIRECTORY_RUNTIME,
	DIRECTORY_STATE,
	DIRECTORY_CACHE,
	DIRECTORY_LOGS,
	DIRECTORY_CONFIGURATION,
	DIRECTORY_TYPE_COUNT
};

struct plan_directory {
	uint32_t type;
	uint32_t mode;
	plan_str path; /* absolute */
	uint32_t keep; /* a runtime directory outlives its unit (RuntimeDirectoryPreserve=) */
};

/* TemporaryFileSystem= of a unit, [Scratch] of the instance. */
struct plan_scratch {
	plan_str path;
	plan_str device;     /* a disk that is made anew; empty: memory */
	uint64_t size_bytes; /* 0: the kernel's default */
	uint64_t nr_inodes;  /* 0: the kernel's default */
	uint32_t mode;
	uint32_t flags; /* SCRATCH_… */
};
#define SCRATCH_EXEC	  (1U << 0) /* without it noexec; nosuid and nodev always */
#define SCRATCH_READ_ONLY (1U << 1)
#define SCRATCH_OWN_MODE  (1U << 2) /* mode= was given; else the image's directory has it */

enum secret_delivery {
	SECRET_ENVIRONMENT, /* Secret=NAME … */
	SECRET_FILE,	    /* SecretFile=name … and LoadCredential= */
	SECRET_FD,	    /* SecretFd=NAME …: the fd's number in $NAME */
	SECRET_DELIVERY_COUNT
};
#define SECRET_OPTIONAL	 (1U << 0)
#define SECRET_IS_CONFIG (1U << 1) /* Config=: never scrubbed, may stand in the dump */
#define SECRET_IS_PATH	 (1U << 2) /* SecretPath=: all below it, names made from what is found */
#define SECRET_IS_REMOTE (1U << 3) /* only holdfast-secrets-remote can get it */
#define SECRET_NEEDS_IDENTITY \
	(1U << 4) /* ${NAME} in its reference stands for a value of the identity unit */

/* What a unit is told when a value of its secrets has changed. */
enum secret_change { CHANGE_NONE, CHANGE_RESTART, CHANGE_SIGNAL, SECRET_CHANGE_COUNT };

struct plan_secret {
	plan_str name;
	plan_str reference; /* "file:/run/x", ${VAR} resolved but for SECRET_NEEDS_IDENTITY */
	uint32_t delivery;
	uint32_t flags;
	uint32_t mode; /* of the file */
	plan_str file; /* where it was asked for, for messages */
	uint32_t line;
};

/* A configuration file of the image that is filled in with the unit's values: [X-Templates]. */
struct plan_template {
	plan_str target; /* name in the unit's credentials directory */
	plan_str source; /* absolute */
	uint32_t format; /* enum template_format (lib/template.h) */
	uint32_t flags;
	uint32_t mode; /* of the file */
};
#define TEMPLATE_IS_JSON (1U << 0) /* places without a filter stand within double quotes */

/*
 * What a unit may do with files at and below a path. Rules only add: what no rule allows, of the
 * kinds that plan_unit.denied_rights names, is denied (supervisor/landlock.c). Paths are absolute,
 * outside of RootDirectory=, and have no symbolic link in them.
 */
struct plan_rule {
	plan_str path;
	uint32_t rights;
};
#define RULE_EXECUTE (1U << 0)
#define RULE_READ    (1U << 1) /* of files */
#define RULE_LIST    (1U << 2) /* names in directories */
#define RULE_WRITE   (1U << 3) /* contents, and what there is: create, rename, remove */
#define RULE_DEVICE  (1U << 4) /* no kind of its own: reads, writes and asks one that is there */

struct plan_socket {
	uint32_t unit;	  /* the socket unit */
	plan_str address; /* as written: 80, [::1]:80, /run/x, @x */
	plan_str fd_name;
	uint32_t domain;	 /* AF_… */
	uint32_t type;		 /* SOCK_… */
	uint32_t mode, uid, gid; /* of an AF_UNIX path */
};

enum limit_kind { PLAN_LIMIT_COUNT = 16 };
struct plan_limit {
	uint64_t soft, hard;
	uint32_t resource; /* RLIMIT_… */
	uint32_t reserved;
};

enum probe_type { PROBE_NONE, PROBE_HTTP, PROBE_TCP, PROBE_EXEC };
enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KIND_COUNT };
struct plan_probe {
	uint32_t kind;
	uint32_t type;
	plan_str target; /* http://127.0.0.1:8080/ready, 127.0.0.1:80 */
	struct plan_range exec;
	uint64_t initial_delay_us, period_us, timeout_us;
	uint32_t failure_threshold, success_threshold;
	uint32_t reserved;
};

/* Exit statuses and signals of SuccessExitStatus= and its like. */
struct plan_status_set {
	uint32_t statuses[8];
	uint64_t signals; /* bit 1 << (signal - 1) */
};

struct plan_statuses {
	struct plan_status_set success, restart_prevent, restart_force;
};

/* plan_unit.flags */
#define UNIT_REMAIN_AFTER_EXIT (1U << 0)
#define UNIT_WANTED	       (1U << 1) /* stands in Units=, or is pulled in by one that does */
#define UNIT_ESSENTIAL	       (1U << 2)
#define UNIT_SEND_SIGKILL      (1U << 3)
#define UNIT_SEND_SIGHUP       (1U << 4)
#define UNIT_IGNORE_SIGPIPE    (1U << 5)
#define UNIT_NO_NEW_PRIVILEGES (1U << 6)
#define UNIT_INHERIT_ENVIRONMENT \
	(1U << 7) /* STORE_ENVIRON below the unit's own (holdfast -- CMD) */
#define UNIT_PRIVATE_TMP	       (1U << 8)
#define UNIT_PERMISSIONS_START_ONLY    (1U << 9)
#define UNIT_ROOT_DIRECTORY_START_ONLY (1U << 10)
#define UNIT_IS_MAIN		       (1U << 11) /* the command of `holdfast [options] -- CMD` */
#define UNIT_KILL_GROUP		       (1U << 12) /* -g: signals go to the process group */
#define UNIT_STDIN_INHERIT	       (1U << 13) /* CMD keeps the stdin that holdfast was given */
#define UNIT_OUTPUT_NULL	       (1U << 14)
#define UNIT_ERROR_NULL		       (1U << 15)
#define UNIT_AMBIENT		       (1U << 16) /* ambient_capabilities is set */
#define UNIT_BOUNDING		       (1U << 17) /* bounding_capabilities is set */
#define UNIT_OOM_SCORE		       (1U << 18) /* oom_score_adjust is set */
#define UNIT_NICE		       (1U << 19)
#define UNIT_PATIENT		       (1U << 20) /* waits for what comes before it while that keeps failing, too */
/* Each of its processes has a seccomp filter more than PID 1, so that whoever has not is no child of
 * the unit's. Without this bit some have none: see units/sandbox.c. */
#define UNIT_IS_MARKED (1U << 21)
/* Will not be started in this instance, whatever comes: a condition of it says so that cannot change (a
 * container, a virtual machine, another architecture). It needs nothing then. */
#define UNIT_IS_SKIPPED (1U << 22)

struct plan_unit {
	plan_str name, description, file;
	uint32_t kind;
	uint32_t type;
	uint32_t flags;

	struct plan_list relations[UNIT_RELATION_COUNT];
	struct plan_range conditions;

	/* Life. Times in microseconds, PLAN_INFINITY_US for none. */
	struct plan_range exec[EXEC_PHASE_COUNT];
	uint32_t restart;
	uint64_t restart_us, restart_max_us; /* max != first: doubles up to it */
	uint64_t start_limit_interval_us;
	uint32_t start_limit_burst;
	uint64_t timeout_start_us, timeout_stop_us, timeout_abort_us, runtime_max_us, watchdog_us;
	uint64_t drain_us;
	uint32_t kill_mode, kill_signal, restart_kill_signal, final_kill_signal, watchdog_signal;
	uint32_t notify_access;
	plan_str pid_file;
	struct plan_range statuses;		 /* one or none: plan_unit_statuses */
	uint32_t failure_action, success_action; /* enum unit_action */
	uint32_t failure_status, success_status; /* exit status of the instance; 256: the unit's */

	/* How it runs. */
	uint32_t uid, gid;
	struct plan_list groups;
	plan_str user_name, home, shell;
	plan_str working_directory;
	uint32_t working_directory_optional;
	plan_str root_directory;
	struct plan_list environment; /* NAME=VALUE, final, one per name */
	uint32_t umask;
	int32_t oom_score_adjust, nice;
	struct plan_range limits; /* those that are set */
	/* FILE=VALUE, each for a file of its cgroup, to be written as it is */
	struct plan_list resources;
	uint64_t ambient_capabilities, bounding_capabilities;
	uint32_t pdeath_signal;
	uint32_t sandbox;	/* enum unit_sandbox */
	uint32_t denied_calls;	/* bits of enum call_group; 0: a filter that denies nothing */
	uint32_t allowed_calls; /* those of SandboxAllow=, for people */
	struct plan_range directories, scratch, secrets, templates;
	uint64_t refresh_us; /* how often its secrets are looked at; 0: never, but for leases */
	uint32_t on_change;  /* enum secret_change */
	uint32_t change_signal;
	uint32_t denied_rights; /* RULE_…, but for what the rules and its own directories allow */
	struct plan_range shared_rules, rules; /* the first may be those of other units, too */
	struct plan_range probes;	       /* of each kind at most one: plan_unit_probe */
};

/* How far a promise is kept here: its ladder's rung (design, section 1, promise 6). */
enum protection_level { PROTECTION_FULL, PROTECTION_REDUCED, PROTECTION_NONE, PROTECTION_COUNT };
struct plan_protection {
	plan_str name; /* root, secrets-memory, scratch, shells, cgroups, … */
	plan_str rung; /* the means in use, in two or three words */
	plan_str why;  /* what kept us from the next better one; empty at the top */
	uint32_t level;
};

/* plan_header.flags */
#define PLAN_IS_PUBLIC	  (1U << 0)
#define PLAN_ROOT_PROVEN  (1U << 1)
#define PLAN_IS_PID1	  (1U << 2) /* PID 1 of its PID namespace; else a subreaper */
#define PLAN_MAIN_COMMAND (1U << 3) /* made from `holdfast [options] -- CMD` */
#define PLAN_SHELLS_WARN  (1U << 4) /* Shells=warn: who gets in is reported, not refused */

enum log_format { LOG_JSON, LOG_PLAIN, LOG_RAW, LOG_FORMAT_COUNT };
enum health_detail { DETAIL_LOOPBACK, DETAIL_ALL, DETAIL_NONE, HEALTH_DETAIL_COUNT };

/* The sections of the block. Records but for the last two: lists of uint32_t, and strings. */
enum plan_section {
	PLAN_UNITS,
	PLAN_EXECS,
	PLAN_CONDITIONS,
	PLAN_DIRECTORIES,
	PLAN_SCRATCH,
	PLAN_SECRETS,
	PLAN_TEMPLATES,
	PLAN_SOCKETS,
	PLAN_PROTECTIONS,
	PLAN_LIMITS,
	PLAN_STATUSES,
	PLAN_PROBES,
	PLAN_RULES,
	PLAN_LISTS,
	PLAN_STRINGS,
	PLAN_SECTION_COUNT
};

struct plan_header {
	uint64_t magic;
	uint32_t version;
	uint32_t flags;
	uint64_t size; /* of the whole block */

	uint64_t stop_timeout_us; /* the one stop budget */
	uint64_t drain_us;
	uint64_t boot_wall_us, boot_us; /* when holdfast started, on both clocks */
	uint32_t log_format;
	uint32_t health_detail;
	uint64_t ring_bytes;
	plan_str image_id, image_version, hostname;
	plan_str notify_address;	/* for $NOTIFY_SOCKET: /run/holdfast/notify or @… */
	plan_str run_directory;		/* where the public files lie; empty: nowhere */
	plan_str credentials_directory; /* parent of each unit's; empty: no files can be had */
	uint32_t uid_log, uid_health, uid_secrets; /* PLAN_NO_ID: they share ours */
	uint32_t main_unit;			   /* of PLAN_MAIN_COMMAND, else PLAN_NO_UNIT */
	uint32_t
		identity_unit; /* whose values stand for ${NAME} in references, else PLAN_NO_UNIT */
	uint32_t n_listen;     /* addresses of [Health] Listen= that were opened: STORE_LISTEN */
	uint32_t health_port;  /* of the first of them that loopback reaches; 0: none */
	struct plan_range scratch; /* [Scratch]: the instance's own */
	/* With a root whose content alone is kept: where services may write, beside what they
	 * declare. Empty: wherever their own rules allow it. */
	struct plan_range writable;
	/* [Secrets]. */
	uint64_t fetch_timeout_us; /* of a unit's first fetch, with all its tries */
	uint64_t change_splay_us;  /* within which a change is applied, at random */
	struct plan_list
		secret_settings; /* NAME=VALUE, under the environment's names; not public */
	/* -e of PLAN_MAIN_COMMAND: index = the command's status, value = ours. */
	uint8_t remap[256];

	/* Sections: byte offset and number of records, in the order of enum plan_section. */
	struct {
		uint64_t offset;
		uint64_t count;
	} sections[PLAN_SECTION_COUNT];
};

extern const size_t plan_record_sizes[PLAN_SECTION_COUNT];

/* A plan that was mapped and checked. Copy freely; the mapping is never undone. */
struct plan {
	const struct plan_header *header;
	const char *base;
};

/*
 * Checks every offset, index, enum and string end of the block of size bytes at data, which is
 * borrowed for ever. 0 or -EBADMSG.
 */
int plan_open(const void *data, size_t size, struct plan *ret_plan);
/* The same for a memfd or file, mapped read-only. 0, -EBADMSG or -errno. */
int plan_map(int fd, struct plan *ret_plan);

const char *plan_string(const struct plan *plan, plan_str offset);
uint32_t plan_list_get(const struct plan *plan, struct plan_list list, uint32_t i);
uint32_t plan_unit_count(const struct plan *plan);
const struct plan_unit *plan_unit(const struct plan *plan, uint32_t i);
const char *plan_unit_name(const struct plan *plan, uint32_t i);
/* The index of the unit with that name, or PLAN_NO_UNIT. */
uint32_t plan_find_unit(const struct plan *plan, const char *name);
const struct plan_exec *plan_exec(const struct plan *plan, uint32_t i);
const struct plan_condition *plan_condition(const struct plan *plan, uint32_t i);
const struct plan_directory *plan_directory(const struct plan *plan, uint32_t i);
const struct plan_scratch *plan_scratch(const struct plan *plan, uint32_t i);
const struct plan_secret *plan_secret(const struct plan *plan, uint32_t i);
const struct plan_template *plan_template(const struct plan *plan, uint32_t i);
const struct plan_socket *plan_socket(const struct plan *plan, uint32_t i);
const struct plan_protection *plan_protection(const struct plan *plan, uint32_t i);
const struct plan_limit *plan_limit(const struct plan *plan, uint32_t i);
/* The unit's own, or one that holds nothing: never NULL. */
const struct plan_statuses *plan_unit_statuses(const struct plan *plan,
					       const struct plan_unit *unit);
const struct plan_probe *plan_unit_probe(const struct plan *plan, const struct plan_unit *unit,
					 enum probe_kind kind);
const struct plan_rule *plan_rule(const struct plan *plan, uint32_t i);
uint32_t plan_section_count(const struct plan *plan, enum plan_section section);

bool plan_status_has(const struct plan_status_set *set, int code, int status);

/* The words that unit files and people use, by enum value. */
extern const char *const unit_kind_names[UNIT_KIND_COUNT];
extern const char *const service_type_names[SERVICE_TYPE_COUNT];
extern const char *const restart_policy_names[RESTART_COUNT];
extern const char *const kill_mode_names[KILL_MODE_COUNT];
extern const char *const notify_access_names[NOTIFY_ACCESS_COUNT];
extern const char *const unit_sandbox_names[UNIT_SANDBOX_COUNT];
extern const char *const call_group_names[CALL_GROUP_COUNT];
extern const char *const log_format_names[LOG_FORMAT_COUNT];
extern const char *const protection_level_names[PROTECTION_COUNT];
