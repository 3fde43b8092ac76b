#pragma once
/*
 * From a record of the ring to what stands on holdfast's stdout, in the format that was asked for:
 *
 * json	one object a line. A service's line that is an object keeps its members and gets "holdfast"
 *	(or "_holdfast", where it has a member of that name itself) beside them; any other becomes
 *	{"ts","msg","holdfast":{"unit","pid","stream","seq"}}. Of a long line each part has "id" (the
 *	seq of its first part) and "n" (from 1) in "holdfast", and the last one "of". "cut":true
 *	says that its writer died or closed before the line's end.
 * plain	time, unit[pid] and text, for people.
 * raw	what the services wrote, and nothing else but holdfast's own warnings and errors.
 *
 * Every JSON line is valid, shorter than 16 KiB, and carries the record's seq.
 */
#include <stdbool.h>
#include <stdint.h>

#include "lib/plan.h"
#include "lib/ring.h"
#include "lib/str.h"

#define RENDER_MAX (RING_LINE_MAX + 1024) /* the most that one call adds */

struct renderer {
	const struct plan *plan; /* borrowed */
	enum log_format format;
	uint64_t second; /* whose text stands in time */
	char time[32];
	/* The envelope's start as the last line of this stream and pid had it: most lines come in
	 * runs. */
	uint32_t origin_unit, origin_stream;
	int32_t origin_pid;
	uint32_t origin_length; /* 0: none yet */
	char origin[640];
	uint64_t open_id; /* raw: the long line that stands at the output's end; 0: none */
};

void renderer_init(struct renderer *renderer, const struct plan *plan);

/* Adds the record's line, or nothing where the format leaves it out. */
void render_entry(struct renderer *renderer, const struct ring_entry *entry, const char *text,
		  struct strbuf *out);

/* Adds the line that says that those from first to last never got out. */
void render_dropped(struct renderer *renderer, uint64_t first_seq, uint64_t last_seq,
		    uint64_t wall_us, struct strbuf *out);
