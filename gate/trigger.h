#pragma once
/*
 * What wakes the detector, without any privilege: somebody opens a namespace of ours, as whoever joins it
 * does; or a program or the loader is opened, for those who join by a pidfd.
 */
#include <stdbool.h>
#include <stdint.h>

/* The latter may fire often, so it is only waited for while nothing moves. */
enum trigger { TRIGGER_ENTRY, TRIGGER_PROGRAM, TRIGGER_COUNT };

struct triggers {
	int fds[TRIGGER_COUNT]; /* inotify; negative: none to be had */
	int mounts_watch;
	/* When namespaces were opened last; mounts_us is 0 when nothing is left to be said of it. */
	uint64_t pids_us, mounts_us, said_us;
};

/* is_gated: there is an exec gate, so programs are not watched. */
void trigger_open(struct triggers *triggers, bool is_gated);

/* Takes what has come of it. Whether there was something. */
bool trigger_take(struct triggers *triggers, enum trigger trigger, uint64_t now_us);

/* Who joins the mounts alone is nobody in /proc: that somebody has is said, once it is sure. When to
 * ask again; 0: there is no need. */
uint64_t trigger_note_mounts(struct triggers *triggers, uint64_t now_us);
