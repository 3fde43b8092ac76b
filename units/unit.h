#pragma once
/*
 * What the unit language knows while it loads: units as they were read, and what all of its modules
 * share. Numbers, times and flags are kept in the record that the plan will hold (struct plan_unit);
 * text and lists beside it, each with its place, until compile.c writes them out.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/template.h"
#include "units/arena.h"
#include "units/listing.h"
#include "units/names.h"
#include "units/readable.h"
#include "units/report.h"
#include "units/source.h"
#include "units/types.h"
#include "units/values.h"

/* A byte in text that stands for the unit's credentials directory, which only boot knows. */
#define UNIT_BYTE_CREDENTIALS '\x05'
/* And one for where notifications go. */
#define UNIT_BYTE_NOTIFY '\x06'

/* Limits of one unit; all of them far beyond what any unit needs. */
#define UNIT_LINES_MAX	 4096 /* exec lines, conditions, secrets … each */
#define UNIT_DROPINS_MAX 256

struct setting {
	const char *text;
	struct where at;
};
struct settings {
	struct setting *items;
	size_t count, capacity;
};

struct exec_line {
	struct where at;
	const char *path;
	struct strings words; /* argv: specifiers done, variables only by resolve.c */
	uint32_t flags;
	bool is_literal; /* prefix ":", or a command from outside: no variables */
};
struct exec_lines {
	struct exec_line *items;
	size_t count, capacity;
};

struct condition {
	uint32_t type, flags;
	const char *parameter, *text;
	struct where at;
};
struct conditions {
	struct condition *items;
	size_t count, capacity;
};

struct scratch {
	const char *path;
	const char *device; /* NULL: memory */
	uint64_t size_bytes, nr_inodes;
	uint32_t mode, flags;
	struct where at;
};
struct scratches {
	struct scratch *items;
	size_t count, capacity;
};

struct secret {
	const char *name,
		*reference;  /* with ${NAME} of what the machine has still to be asked for */
	const char *written; /* of a path: its reference as it stands in the file; else NULL */
	uint32_t delivery, flags, mode;
	bool is_pending; /* there is such a name in it */
	struct where at;
};
struct secrets {
	struct secret *items;
	size_t count, capacity;
};

/* A line of [X-Templates]. */
struct template
{
	const char *target, *source;
	enum template_format format;
	bool is_json; /* the files' names say so: places stand within quotes */
	uint32_t mode;
	struct where at;
};
struct templates {
	struct template *items;
	size_t count, capacity;
};

struct listener {
	const char *address;
	uint32_t domain, type;
	struct where at;
};
struct listeners {
	struct listener *items;
	size_t count, capacity;
};

/* The files of a unit's cgroup that a value is written to as it is. */
enum resource {
	RESOURCE_MEMORY_MIN,
	RESOURCE_MEMORY_LOW,
	RESOURCE_MEMORY_HIGH,
	RESOURCE_MEMORY_MAX,
	RESOURCE_MEMORY_SWAP_MAX,
	RESOURCE_MEMORY_OOM_GROUP,
	RESOURCE_PIDS_MAX,
	RESOURCE_CPU_WEIGHT,
	RESOURCE_IO_WEIGHT,
	RESOURCE_COUNT
};

/* A word of ExecPaths= and its like. */
enum path_key {
	PATHS_EXEC,
	PATHS_NO_EXEC,
	PATHS_READ_WRITE,
	PATHS_READ_ONLY,
	PATHS_INACCESSIBLE,
	PATH_KEY_COUNT
};
struct allowed_path {
	const char *path;
	bool is_optional; /* - */
	bool is_inside;	  /* +: below RootDirectory= */
	struct where at;
};
struct allowed_paths {
	struct allowed_path *items;
	size_t count, capacity;
};

/* What a unit may do at and below a path: RULE_… of lib/plan.h. */
struct rule {
	const char *path;
	uint32_t rights;
};
struct rules {
	struct rule *items;
	size_t count, capacity;
};

struct unit;
struct indices {
	uint32_t *items;
	size_t count, capacity;
};
struct relation {
	enum unit_relation type;
	const char *name;
	struct where at;
	bool is_implied; /* nobody wrote it down: no complaints about it */
	struct unit *to; /* NULL: not part of this instance */
};
struct relations {
	struct relation *items;
	size_t count, capacity;
};

struct probe {
	uint32_t type;
	const char *target;
	struct exec_lines exec;
	uint64_t initial_delay_us, period_us, timeout_us;
	uint32_t failure_threshold, success_threshold;
	struct where at; /* line 0: no such probe */
};

/* Actions beyond the plan's: what holdfast answers as an exit. */
enum answer { ANSWER_UNSET = -1, ANSWER_NO, ANSWER_YES };

struct unit {
	struct unit_name name;
	const char *file;	 /* its fragment; for messages */
	struct where at;	 /* who asked for it first */
	struct where section_at; /* its kind's section in the fragment; line 0: it has none */
	uint32_t index;
	bool is_named;	 /* in Units=, or asked for on the command line */
	bool is_builtin; /* a standard target without a file */
	bool is_foreign, is_masked, is_missing;
	bool is_distributions; /* its file lies in one of systemd's folders */
	bool is_command;       /* made of `holdfast [OPTIONS] -- CMD`, without --as */

	struct plan_unit plan;
	struct plan_statuses statuses;
	struct limit limits[PLAN_LIMIT_COUNT]; /* indexed by RLIMIT_… */
	const char *resources[RESOURCE_COUNT]; /* NULL: not set */
	uint32_t cpu_percent, cpu_period_us;   /* 0: none, the default */
	const char *description;

	/* [Unit] */
	struct relations relations;
	struct indices related[UNIT_RELATION_COUNT]; /* by graph.c */
	struct conditions conditions;
	int default_dependencies, is_essential; /* enum answer */
	bool has_failure_action, has_success_action, has_stop_timeout;

	/* [Service] */
	struct exec_lines exec[EXEC_PHASE_COUNT];
	struct where type_at;
	bool has_type, has_start_timeout, has_abort_timeout, has_notify_access, has_drain,
		has_restart_kill_signal, has_dynamic_user;
	struct where dynamic_user_at;
	struct setting restart_at, pid_file, bus_name;
	struct settings sockets;

	/* Execution */
	struct setting input;
	struct setting user, group, working_directory, root_directory;
	struct settings groups;
	uint32_t *group_ids;
	size_t n_group_ids;
	const char *user_name, *home, *shell, *working_path;
	struct settings environment, environment_files, pass_environment, unset_environment;
	struct strings final_environment;
	uint32_t sandbox;	/* enum unit_sandbox; _COUNT: it does not say */
	bool has_sandbox_words; /* asks for protection that implies NoNewPrivileges= */
	struct settings directories[DIRECTORY_TYPE_COUNT];
	uint32_t directory_modes[DIRECTORY_TYPE_COUNT];
	uint32_t keep_runtime;
	struct scratches scratch;
	struct allowed_paths paths[PATH_KEY_COUNT];
	struct rules rules; /* by rules.c */
	bool has_shared_rules;
	struct secrets secrets;
	struct templates templates;
	struct probe probes[PROBE_KIND_COUNT];

	/* [Socket] */
	struct listeners listeners;
	struct setting socket_user, socket_group, socket_service, fd_name;
	uint32_t socket_mode, socket_uid, socket_gid;
};

/* holdfast.conf, with overrides. */
struct addresses {
	struct units_address *items;
	size_t count, capacity;
};

struct routes {
	struct units_route *items;
	size_t count, capacity;
};

struct modules {
	struct units_module *items;
	size_t count, capacity;
};

struct conf {
	const char *file;
	struct settings units, unit_path, listen, allow;
	struct settings identity; /* "NAME=reference" */
	struct scratches scratch;
	uint32_t root, shells, log_format, health_detail, failed_boot;
	uint32_t room, lockdown;
	struct modules modules;
	uint64_t runtime_watchdog_us, reboot_watchdog_us; /* 0: off */
	uint64_t stop_timeout_us, drain_us, ring_bytes, fetch_timeout_us, change_splay_us;
	struct settings sysctls; /* "net/core/somaxconn=4096" */
	struct addresses addresses;
	struct routes routes;
	struct settings dns, search;
	struct settings secret_settings; /* "AWS_REGION=…": what [Secrets] stands for */
	bool has_listen, has_log_format;
};

struct users {
	const char *passwd, *group;
	bool is_read;
	char *line; /* the one that is looked at */
	size_t capacity;
};

/* A folder of the search path, listed once: of a thousand names that are looked for in it, in five
 * spellings each, few are there. */
struct folder {
	const char *path;
	struct strings names; /* sorted */
	struct strings links; /* those of them that may be symbolic links; sorted */
	bool is_listed;	      /* else both are empty, and each name is asked for */
};

#define UNITS_BUCKETS (2 * PLAN_UNITS_MAX) /* a power of two */

/* What tmpfiles.d asks for. */
struct wanted_folders {
	struct units_folder *items;
	size_t count, capacity;
};

struct units {
	struct arena arena;
	struct report report;
	struct source source;
	struct units_request request;
	struct conf conf;
	struct units_conf public_conf;
	struct {
		struct folder *items;
		size_t count, capacity;
	} search_path;
	size_t n_own_folders; /* of the search path: holdfast's own, which may replace a target */
	const char *hostname, *image_id, *image_version;
	uint8_t remap[256]; /* as in struct plan_header */
	bool is_command;
	struct users users;
	struct wanted_folders folders;
	struct rules shared_rules; /* what most strict units may read */
	bool is_tree_read;	   /* they are known */
	struct listing listing;	   /* in use, or empty: memory of their own, freed with the rest */
	struct readable readable;
	struct secrets needed;	    /* of [Identity], that the machine has to be asked for */
	struct unit *identity_unit; /* that asks for them; NULL: there are none */
	struct unit **items;
	size_t count, capacity;
	struct unit **buckets; /* all that were ever made, by name; open addressing */
};

void settings_add(struct arena *arena, struct settings *list, const char *text, struct where at);

/* Adds a zeroed item to one of the lists above and points at it. */
#define LIST_ADD(arena, list)                                                                 \
	((list)->items = arena_grow((arena), (list)->items, (list)->count, &(list)->capacity, \
				    sizeof(*(list)->items)),                                  \
	 memset(&(list)->items[(list)->count], 0, sizeof(*(list)->items)),                    \
	 &(list)->items[(list)->count++])
