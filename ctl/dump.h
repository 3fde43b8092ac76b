#pragma once
/*
 * The parts of the dump. Each writes its own lines by output.h; what cannot be read here (no
 * rights, no such file) is a line less and never an error.
 */
#include <stdint.h>

#include "ctl/instance.h"
#include "lib/str.h"

/* {"type":"…" into an empty line; the caller adds members and ends it by dump_end. */
struct strbuf *dump_begin(const char *type);
void dump_end(struct strbuf *line);

/* The instance's own: of plan and board. */
void dump_cause(const struct instance *instance);
void dump_image(const struct instance *instance);
void dump_config(const struct instance *instance);
void dump_protections(const struct instance *instance);
void dump_units(const struct instance *instance);
void dump_secrets(const struct instance *instance);
/* The ring: event and log lines from since_wall_us on. */
void dump_log(const struct instance *instance, uint64_t since_wall_us);
/* The system's: of /proc, /sys and /dev/kmsg. */
void dump_mounts(void);
void dump_processes(const struct instance *instance);
void dump_cgroups(const struct instance *instance);
void dump_scratch(const struct instance *instance);
void dump_kernel(void);
void dump_pressure(void);
