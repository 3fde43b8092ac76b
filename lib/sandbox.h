#pragma once
/*
 * How a process of holdfast's own that faces bytes from outside locks itself in: it forgets what
 * it does not need, drops to its uid, and leaves itself the system calls that its table names.
 *
 * The seccomp filter is made at build time by libseccomp from the program's own list of calls
 * (see tools/mkfilter.c and the lists in log/, health/ and secrets/), so that the process links
 * libc alone and the filter is the same on every start. Landlock says the same of files once more,
 * by other means of the kernel. What the kernel or the runtime refuses is reported, never fatal: the
 * rung in use is the return value. tests/integration/test_rights.py looks at what is left.
 *
 * Under AddressSanitizer there is no filter: its run time maps, opens and forks as it likes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/filter.h>

#include "lib/str.h"

/* What was had, as bits. */
#define SANDBOX_IDS	     (1 << 0) /* own uid and gid */
#define SANDBOX_NO_NEW_PRIVS (1 << 1)
#define SANDBOX_SECCOMP	     (1 << 2)
#define SANDBOX_NO_DUMP	     (1 << 3)
#define SANDBOX_NO_CAPS	     (1 << 4) /* none but those that are kept */
#define SANDBOX_NO_FILES     (1 << 5) /* Landlock: opens nothing, wherever it lies */
#define SANDBOX_ALL	     ((1 << 6) - 1)

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SANDBOX_HAS_FILTERS 0
#else
#define SANDBOX_HAS_FILTERS 1
#endif

/* The members filter and filter_count from a generated array (gen/x/filter.h). */
#define SANDBOX_FILTER(array) \
	.filter = (array),    \
	.filter_count = SANDBOX_HAS_FILTERS ? (uint16_t)(sizeof(array) / sizeof((array)[0])) : 0

struct sandbox {
	uint32_t uid;	  /* also the gid; UINT32_MAX: stay who we are */
	int death_signal; /* sent to us when our parent (PID 1) dies; 0: none. As a subreaper it can
			     die alone, and its ports should be free again then */
	uint64_t capabilities; /* that are kept, of those that there are: bit n for number n */
	bool has_no_files;     /* all that it needs is open already */
	const struct sock_filter *filter;
	uint16_t filter_count;
};

/* Enters it, for good. The bits above, or -errno when the ids that were asked for could be had here
 * and yet failed (-EAGAIN: out of processes, …): then the caller must exit. */
int sandbox_enter(const struct sandbox *sandbox);

/* "own uid, not dumpable; missing: seccomp": what was had, and what was not of what was wanted, for
 * people. */
void sandbox_describe(struct strbuf *buf, int had, int wanted);
