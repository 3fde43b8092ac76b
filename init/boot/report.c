/*
 * Two promises that boot itself has no means for, but whose state it knows: what the kernel, or the
 * runtime's seccomp profile, took away of what holdfast would use, and how far shells are refused.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/landlock.h"
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
	 "services and the remote secrets helper see every file"},
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

/* ---- Landlock: which of the services it holds in, and what this version of it cannot deny. */

static const struct {
	int since;
	const char *without;
} landlock_lacks[] = {
	{2, "files cannot be moved between directories by who is confined (Linux 5.19)"},
	{3, "files that may not be written can be truncated (6.2)"},
	{5, "devices that are read can be told anything (6.10)"},
	{6, "services of one user can signal each other (6.12)"},
};

struct landlock_survey {
	unsigned n_strict, n_by_unit, n_free, n_lost;
	const char *lost; /* one of them */
};

/* The kernel confines who has no_new_privs, or CAP_SYS_ADMIN: supervisor/confine_files.c. */
static struct landlock_survey survey_services(const struct boot *boot)
{
	bool always = (boot->capabilities & (UINT64_C(1) << CAP_SYS_ADMIN)) ||
		      prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	struct landlock_survey survey = {0};

	for (uint32_t i = 0; i < plan_unit_count(&boot->plan); i++) {
		const struct plan_unit *unit = plan_unit(&boot->plan, i);
		bool is_asked = unit->sandbox == UNIT_SANDBOX_STRICT || unit->denied_rights != 0;
		if (unit->kind != UNIT_SERVICE || unit->exec[EXEC_START].count == 0)
			continue;
		if (is_asked && !always && !(unit->flags & UNIT_NO_NEW_PRIVILEGES)) {
			survey.n_lost++;
			survey.lost = plan_string(&boot->plan, unit->name);
		} else {
			survey.n_strict += unit->sandbox == UNIT_SANDBOX_STRICT;
			survey.n_by_unit += is_asked && unit->sandbox != UNIT_SANDBOX_STRICT;
			survey.n_free += !is_asked;
		}
	}
	return survey;
}

static void add_reason(struct strbuf *why, const char *reason)
{
	strbuf_addf(why, "%s%s", why->length ? "; " : "", reason);
}

int report_landlock(struct boot *boot)
{
	struct landlock_survey survey = survey_services(boot);
	int version = landlock_version();
	char rung[96], reasons[320];
	struct strbuf why;

	if (version < 1) {
		/* Users, modes and filters hold all the same. */
		boot_protect(boot, "landlock", PROTECTION_REDUCED, "without",
			     "the kernel %s: services can execute and read what their users may",
			     version == -EOPNOTSUPP ? "has no Landlock, or hides it"
						    : strerror(-version));
		return 0;
	}
	strbuf_init(&why, reasons, sizeof(reasons));
	(void)snprintf(rung, sizeof(rung), "version %d: %u strict, %u by their keys, %u free",
		       version, survey.n_strict, survey.n_by_unit, survey.n_free);
	if (survey.n_lost > 0)
		strbuf_addf(&why, "%u not held (%s%s): no NoNewPrivileges=, no CAP_SYS_ADMIN",
			    survey.n_lost, survey.lost, survey.n_lost > 1 ? ", …" : "");
	for (size_t i = 0; i < ARRAY_COUNT(landlock_lacks); i++) {
		if (version < landlock_lacks[i].since)
			add_reason(&why, landlock_lacks[i].without);
	}
	boot_protect(boot, "landlock", why.length ? PROTECTION_REDUCED : PROTECTION_FULL, rung,
		     "%s", reasons);
	return 0;
}
