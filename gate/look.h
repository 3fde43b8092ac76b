#pragma once
/*
 * Who came since the last look. /proc/loadavg ends with the last pid given out in the reader's own
 * namespace, threads included: 2 µs say that nothing happened. A pid is given out before its process can
 * be seen, so what was given out is looked for again for a while. What is new is judged once (judge.h);
 * who is too young to be told is judged again with each look.
 */
#include <stdbool.h>
#include <stdint.h>

#include "gate/judge.h"
#include "gate/visits.h"

#define LOOK_FOUND_MAX 64
#define LOOK_YOUNG_MAX 64
#define LOOK_SEEN_BITS 65536

struct look {
	const struct judge *judge;
	struct visits *visits; /* is told of visitors */
	int loadavg_fd;

	/* Pids up to settled are judged or never became processes; those up to settling were given out
	 * before settling_us; last was when we looked last. */
	int32_t settled, settling, last;
	uint64_t settling_us;
	uint8_t seen[LOOK_SEEN_BITS / 8]; /* judged, beyond settled; by pid modulo its size */

	struct look_young {
		int32_t pid;
		bool is_orphan;
		uint64_t start_ticks, until_us;
		uint64_t waited_us;    /* for a processor, when its grace began */
		uint64_t executing_us; /* the grace it got for being on its way into a program */
	} young[LOOK_YOUNG_MAX];
	uint32_t n_young;
	uint32_t n_vanished; /* orphans that ended while they were young; the caller sets it to 0 */

	struct look_found {
		struct judge_result result;
		bool is_overdue; /* was young for too long */
		int pidfd;	 /* -EBADF: of a kernel without, or it is nobody to be refused */
		bool is_pinned;	 /* judged again, with the pidfd in hand */
	} found[LOOK_FOUND_MAX]; /* of this look */
	uint32_t n_found;
};

/* Fills found. Whether pids were given out since the last look. */
bool look_around(struct look *look, uint64_t now_us);
