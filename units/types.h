#pragma once
/*
 * What goes into the unit language and comes out of it: the words that compile.h's callers and its
 * own modules share.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/plan.h"

enum diag_level { DIAG_WARNING, DIAG_ERROR };

/* What a reader of the message needs to find and mend the place. Text is owned by the list. */
struct diag {
	enum diag_level level;
	bool is_unknown; /* a key or section that holdfast does not know: an error under --strict */
	const char *file;      /* as the user would name it; NULL: none is to blame */
	uint32_t line, column; /* from 1; 0: the file as a whole */
	const char *message;   /* says what was expected */
	int status; /* exit status it stands for: 78, or 66 for a missing secret source … */
};

struct diag_list {
	struct diag *items;
	size_t count, capacity;
	size_t n_errors;
};

/* An option or HOLDFAST_* variable that stands for a key of holdfast.conf; later ones win. */
struct units_override {
	const char *section, *key, *value;
	const char *origin;   /* "--stop-timeout", "HOLDFAST_STOP_TIMEOUT": named in messages */
	bool is_from_outside; /* flag or environment: what weakens a promise needs Allow= */
};

/* What `holdfast [options] -- CMD` asks for beside overrides: keys of the unit main.service. */
struct units_command {
	char *const *argv;     /* NULL: no command; run the units */
	const char *directory; /* where holdfast was started: what ./CMD is relative to; NULL: / */
	const char *const
		*keys;	/* "Section.Key=value" lines, NULL-ended: "X-Holdfast.Secret=A file:/x" */
	const char *as; /* --as: the service that it is a one-off of; NULL: none */
	bool is_group;
	uint8_t remap[256]; /* as in struct plan_header; identity when not asked for */
	uint32_t pdeath_signal;
};

struct units_request {
	int root_fd;	       /* "/" of the instance, or an image's tree: every path is below it */
	const char *conf;      /* NULL: /etc/holdfast/holdfast.conf, which may be missing */
	const char *units_dir; /* --units: searched before all others; NULL: none */
	const struct units_override *overrides;
	size_t n_overrides;
	const struct units_command *command; /* NULL: none */
	/* holdfast's own, NAME=VALUE, NULL-ended: for ${VAR} in references and for PassEnvironment=.
	 * NULL: not known yet (an image is checked), so what comes with it is no error. */
	const char *const *environment;
	const char *const
		*units;	      /* holdfast-check UNIT|FILE…: instead of Units=; NULL-ended or NULL.
				     What holds a / is a file below root_fd */
	bool is_offline;      /* no such user, no such file: a warning where boot would refuse */
	bool is_host;	      /* its environment is the kernel's: not asked for ${VAR} */
	bool is_contained;    /* in a PID namespace of its own: a container, whoever made it */
	const char *hostname; /* for %H; "" when unknown */
};

/* holdfast.conf as understood: what boot needs and the plan does not carry. */
/* An address, or a network, as [Network] has them. */
struct units_net {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t prefix;
	uint8_t bytes[16]; /* in network order; of AF_INET the first four */
};

struct units_address {
	const char *interface;
	struct units_net net;
};

struct units_route {
	const char *text;	  /* as it was written, for messages */
	struct units_net to, via; /* prefix 0: default */
	const char *interface;	  /* NULL: the one that the gateway is reached by */
};

struct units_network {
	const struct units_address *addresses;
	const struct units_route *routes;
	size_t n_addresses, n_routes;
	const char *const *dns, *const *search; /* NULL-ended */
};

/* [Modules] Load=. */
struct units_module {
	const char *name, *parameters; /* "" for none */
	bool is_optional;	       /* "-" before it */
	const char *file;
	uint32_t line;
};

/* The levels of the kernel's lockdown, from weak to strong. */
enum units_lockdown { LOCKDOWN_NONE, LOCKDOWN_INTEGRITY, LOCKDOWN_CONFIDENTIALITY, LOCKDOWN_COUNT };
extern const char *const units_lockdown_names[LOCKDOWN_COUNT]; /* the kernel's words */

/* Room=, from strong to weak: what a room has to be good for. */
enum units_room {
	ROOM_EMPTY, /* the strongest that there is, though nothing can be executed in it */
	ROOM_YES,   /* what the rights allow, holdfastctl in it where that opens nothing */
	ROOM_CTL,   /* holdfastctl can be executed in it, or there is none */
	ROOM_NO,
	ROOM_COUNT
};
extern const char *const units_room_names[ROOM_COUNT];

struct units_conf {
	bool root_must_be_read_only; /* ReadOnlyRoot=enforce (default) or content; else warn */
	bool root_content_will_do;   /* … content: that services cannot write to it, where it can
					be written */
	bool shells_must_be_refused; /* Shells= */
	uint32_t log_format;	     /* enum log_format */
	uint32_t failed_boot;	     /* enum failed_boot of lib/machine.h */
	enum units_room room;	     /* Room= */
	uint32_t runtime_watchdog_s, reboot_watchdog_s; /* 0: off */
	const char *const *listen; /* [Health] Listen=, NULL-ended; empty: no health endpoint */
	const char *const
		*secret_settings;   /* [Secrets] as NAME=VALUE for the helpers; NULL-ended */
	const char *const *sysctls; /* [Sysctl] as PATH=VALUE below /proc/sys; NULL-ended */
	const struct units_module *modules;
	size_t n_modules;
	enum units_lockdown lockdown;
	struct units_network network;
	const char *const
		*config_lines; /* "Section.Key=value" as understood, for the dump; no value
					    of the environment in it */
};

/* What tmpfiles.d(5) asks for below /run and [Scratch]. */
struct units_folder {
	const char *path; /* absolute, without a slash at the end */
	uint32_t mode, uid, gid;
};

/* What boot found out before it can finish a plan: filled into the header and the protections. */
struct units_facts {
	bool is_pid1, root_is_proven;
	uint64_t boot_us, boot_wall_us;
	const char *run_directory, *credentials_directory, *notify_address;
	uint32_t uid_log, uid_health, uid_secrets;
	uint32_t n_listen, health_port; /* as in struct plan_header */
	/* Who we are, and so what our children may come to be: capabilities as bits 1 << CAP_…,
	 * those that we hold and those of the bounding set; no_new_privs, which they inherit. */
	uint32_t uid;
	uint64_t capabilities, bounding;
	bool has_no_new_privs;
	bool has_filters; /* the kernel has seccomp's */
	/* Where services may write while the root's content is kept from them: mounts of others,
	 * NULL-ended. NULL: nothing is kept. */
	const char *const *writable_mounts;
	const struct units_protection {
		const char *name, *rung, *why;
		enum protection_level level;
	} * protections;
	size_t n_protections;
};
