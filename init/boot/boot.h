#pragma once
/*
 * What holdfast-boot's steps share. Each step does one thing of the boot, in the order of main.c's
 * table, and returns 0 or the exit status of the instance after boot_fail said why: 78
 * configuration, 66 a file that is missing, 69 an address that cannot be had, 71 a promise that
 * cannot be kept here, 70 ourselves.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sysexits.h>

#include "lib/machine.h"
#include "lib/plan.h"
#include "lib/proto.h"
#include "lib/store.h"
#include "units/compile.h"

#define BOOT_PATH_MAX	     256
#define BOOT_PROTECTIONS_MAX 32

struct boot_protection_text {
	char rung[96], why[320];
};

struct boot {
	/* From PID 1. */
	int argc;
	char **argv;
	const struct store_table *store;
	int channel;
	const char **environment; /* NAME=VALUE, NULL-ended */
	uint64_t boot_us, boot_wall_us;

	/* Where we are (place.c). */
	bool is_pid1; /* our parent is PID 1 of its PID namespace */
	bool is_host; /* and that is the first PID namespace: nothing from outside is trusted */
	bool is_contained; /* in another PID namespace than the first */
	bool can_mount;
	uint64_t capabilities; /* effective: bit 1 << CAP_… */
	uint64_t bounding;     /* the same of the bounding set */
	bool has_no_new_privs; /* and so all that we start */
	bool has_filters;      /* the kernel has seccomp's */
	bool is_sys_ours;      /* we mounted /sys, so nobody gave us a cgroup tree in it */
	uint32_t uid_log, uid_health, uid_secrets;

	/* What was asked for (request.c). */
	struct units *units;
	enum log_format log_format; /* of our own lines, too: boot_set_format */
	struct plan plan;	    /* compiled before the facts below were known */

	/* What was found and made. */
	bool is_root_proven;
	bool has_exec_gate; /* what is executed here is asked about, or waits */
	bool is_root_writable;
	bool is_content_kept;		   /* though it is writable: services cannot change it */
	const char **writable_mounts;	   /* where they can; NULL-ended */
	char run_directory[BOOT_PATH_MAX]; /* empty: none */
	char credentials_directory[BOOT_PATH_MAX];
	char notify_address[BOOT_PATH_MAX];
	uint32_t n_listen, health_port;

	struct units_protection protections[BOOT_PROTECTIONS_MAX];
	struct boot_protection_text protection_texts[BOOT_PROTECTIONS_MAX];
	size_t n_protections;

	char failure[PROTO_TEXT_MAX];
};

/* Keeps the sentence as the cause of the failure and returns status. */
int boot_fail(struct boot *boot, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* In which format our own lines are from here on, PID 1's too. */
void boot_set_format(struct boot *boot, enum log_format format);

/* What becomes of the machine when the instance fails, from here on. */
void boot_tell_failed_boot(struct boot *boot, enum failed_boot failed_boot);

/* The watchdog is armed: PID 1 feeds it from here on. */
void boot_tell_watchdog(struct boot *boot, uint32_t end_s);

/* PID 1 may make their pipes while we go on. */
void boot_tell_units(struct boot *boot, size_t count);

/* Adds a line to the protections: by which means a promise is kept here, and why not by a better
 * one (printf). */
void boot_protect(struct boot *boot, const char *name, enum protection_level level,
		  const char *rung, const char *why_format, ...)
	__attribute__((format(printf, 5, 6)));

/* Hands fd (borrowed) to PID 1's store. 0 or an exit status. */
int boot_put(struct boot *boot, enum store_kind kind, uint32_t index, int fd);

/* The steps. */
int place_find(struct boot *boot);
int readahead_own(struct boot *boot);  /* on a host: programs that will run */
int console_settle(struct boot *boot); /* on a host */
int request_open(struct boot *boot);   /* the command line, and what format is asked for outside */
int mounts_complete(struct boot *boot);
int machine_identify(struct boot *boot); /* a host's id, name, clock */
int place_choose_ids(struct boot *boot); /* once /proc is there, which has the maps of ids */
int request_load(struct boot *boot);
int request_complete(struct boot *boot); /* what was loaded is judged; the plan's numbers */
int readahead_units(struct boot *boot);	 /* on a host */
int beside_check(struct boot *boot);	 /* nothing of a running instance is used up */
int limits_check(struct boot *boot);
int root_prove(struct boot *boot);
int root_list_writable(struct boot *boot); /* once all is mounted */
int writes_report(struct boot *boot);
int scratch_mount(struct boot *boot);
int folders_make(struct boot *boot);
int directories_prepare(struct boot *boot);
int files_preview(struct boot *boot);
int files_choose_directory(struct boot *boot);
int credentials_prepare(struct boot *boot);
int notify_open(struct boot *boot);
int listen_open(struct boot *boot);
int sockets_open(struct boot *boot);
int secrets_open(struct boot *boot);
int cgroup_prepare(struct boot *boot);
int modules_load(struct boot *boot); /* on a host */
int sysctls_set(struct boot *boot);  /* on a host */
int network_start(struct boot *boot);
int pstore_report(struct boot *boot); /* on a host: what the last panic left */
int watchdog_arm(struct boot *boot);
int audit_open(struct boot *boot);  /* on a host: what filters refuse is heard of */
int button_open(struct boot *boot); /* on a host: the power button */
int doors_close(struct boot *boot); /* on a host, once nothing of the kernel is changed any more */
int report_kernel(struct boot *boot);
int sandbox_report(struct boot *boot); /* how far services are held in */
int report_shells(struct boot *boot);
int report_landlock(struct boot *boot);
int execgate_open(struct boot *boot); /* last: from there on executions wait for holdfast-gate */
int room_prepare(struct boot *boot);  /* where PID 1 is going to be */
int files_make(struct boot *boot);
