#pragma once
/*
 * The parts of the dump. Each writes its own lines by output.h; what cannot be read here (no
 * rights, no such file) is a line less and never an error.
 */
#include <stdbool.h>
#include <stdint.h>

#include "ctl/instance.h"
#include "lib/str.h"

/* ctl/dump_line.c: {"type":"…" into an empty line; the caller adds members and ends it by dump_end. */
struct strbuf *dump_begin(const char *type);
void dump_end(struct strbuf *line);

/* The instance's own: of plan and board. */
void dump_cause(const struct instance *instance);
void dump_image(const struct instance *instance);
void dump_config(const struct instance *instance);
/* is_digest: those alone that are less than they should be. */
void dump_protections(const struct instance *instance, bool is_digest);
/* How often somebody was refused, and who last; is_digest: only if there was somebody. */
void dump_gate(const struct instance *instance, bool is_digest);
/* Refused system calls, one line for each unit and call. */
void dump_calls(const struct instance *instance);
void dump_units(const struct instance *instance, bool is_digest);
void dump_secrets(const struct instance *instance);
/* The ring: event and log lines from since_wall_us on, the last ones of about so many bytes. */
void dump_log(const struct instance *instance, uint64_t since_wall_us, uint64_t bytes);
/* The system's: of /proc, /sys and /dev/kmsg. */
void dump_mounts(const struct instance *instance);
void dump_processes(const struct instance *instance);
void dump_cgroups(const struct instance *instance);
void dump_scratch(const struct instance *instance);
/* The last lines of about so many bytes; UINT64_MAX: and before them what the initramfs and boot said. */
void dump_kernel(uint64_t bytes);
void dump_pressure(void);
