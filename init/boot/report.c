/*
 * Two promises that boot itself has no means for, but whose state it knows: what the kernel, or the
 * runtime's seccomp profile, took away of what holdfast would use, and how far shells are refused.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/str.h"
#include "lib/sys.h"

/* The numbers are the same on all machines (include/uapi/asm-generic/unistd.h). */
#define NR_PIDFD_OPEN		   434
#define NR_CLONE3		   435
#define NR_CLOSE_RANGE		   436
#define NR_OPENAT2		   437
#define NR_LANDLOCK_CREATE_RULESET 444

/* landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION. */
#define LANDLOCK_VERSION 1

/* Asked in a way that does nothing: the kernel has it when it finds fault with the arguments, or
 * has nothing to do. */
static const struct call {
	const char *name;
	long number;
	long arguments[3];
	const char *instead; /* what is lost without it */
} calls[] = {
	{"clone3", NR_CLONE3, {0, 0, 0}, "a process enters its cgroup a moment after its birth"},
	{"pidfd_open", NR_PIDFD_OPEN, {-1, 0, 0}, "processes are signalled by pid"},
	{"close_range", NR_CLOSE_RANGE, {INT32_MAX, INT32_MAX, 0}, "files are closed one by one"},
	{"openat2", NR_OPENAT2, {-1, 0, 0}, "links below a root are walked by hand"},
	{"landlock",
	 NR_LANDLOCK_CREATE_RULESET,
	 {0, 0, LANDLOCK_VERSION},
	 "the remote secrets helper sees every file"},
};

static bool is_missing(const struct call *call)
{
	long r = syscall(call->number, call->arguments[0], call->arguments[1], call->arguments[2]);

	/* Landlock answers EOPNOTSUPP where it is built in and was not enabled at boot. */
	return r < 0 && (SYS_IS_MISSING(errno) || errno == EOPNOTSUPP);
}

int report_kernel(struct boot *boot)
{
	char names[128], lost[240];
	struct strbuf without, why;

	strbuf_init(&without, names, sizeof(names));
	strbuf_init(&why, lost, sizeof(lost));
	for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
		if (!is_missing(&calls[i]))
			continue;
		strbuf_addf(&without, "%s%s", without.length ? ", " : "", calls[i].name);
		strbuf_addf(&why, "%s%s", why.length ? ", " : "", calls[i].instead);
	}
	if (without.length == 0)
		boot_protect(boot, "kernel", PROTECTION_FULL, "full", "%s", "");
	else
		boot_protect(boot, "kernel", PROTECTION_REDUCED, "reduced", "without %s: %s", names,
			     lost);
	return 0;
}

/* Shells= is judged when the units are loaded (units/shells.c); who comes from outside is holdfast-gate's,
 * which says itself by which means. */
int report_shells(struct boot *boot)
{
	static const char *const why = "for whoever comes from outside see exec-gate and intruders";
	bool is_refused = units_conf(boot->units)->shells_must_be_refused;

	boot_protect(boot, "shells", is_refused ? PROTECTION_REDUCED : PROTECTION_NONE,
		     is_refused ? "refused in units" : "warned of in units", "%s", why);
	return 0;
}
