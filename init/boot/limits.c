/*
 * The limit on open files. PID 1 has raised the soft one; what its store and the daemons will need is
 * known as soon as the units are, so that too low a limit is said here, in words, and not found by
 * whichever of them opens the file too many.
 */
#include <inttypes.h>
#include <sys/resource.h>

#include "init/boot/boot.h"

/* holdfast's own: programs, shared memory, eventfds, streams, and what the supervisor keeps above
 * the sockets that it can hand over (supervisor/spawn.c). */
#define OWN_FILES 160
/* Both ends of two pipes; the supervisor has their write ends alone, and pidfds. */
#define FILES_A_SERVICE 4
/* Memory of a fetch, of the next one, its state and its report. */
#define FILES_A_FETCH 4

static uint64_t files_needed(const struct plan *plan)
{
	uint64_t count = OWN_FILES + plan_section_count(plan, PLAN_SOCKETS) +
			 plan_section_count(plan, PLAN_SECRETS);

	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		const struct plan_unit *unit = plan_unit(plan, i);
		count += unit->kind == UNIT_TARGET ? 0 : FILES_A_SERVICE;
		count += unit->secrets.count > 0 ? FILES_A_FETCH : 0;
	}
	return count;
}

int limits_check(struct boot *boot)
{
	uint64_t needed = files_needed(&boot->plan);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
		return 0;
	return boot_fail(boot, EX_OSERR,
			 "%u units need %" PRIu64 " open files, and the hard limit is %" PRIu64
			 " (RLIMIT_NOFILE): start holdfast with more (docker and podman: --ulimit "
			 "nofile=%" PRIu64 "; systemd: LimitNOFILE=)",
			 plan_unit_count(&boot->plan), needed, (uint64_t)limit.rlim_cur, needed);
}
