#include "init/pid1/host.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "init/pid1/watchdog.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/proc.h"
#include "lib/signals.h"

/* What was seen once is remembered: there may be no /proc to be seen later (room.c). */
bool host_is_first_init(void)
{
	static int is_first = -1;

	if (is_first < 0)
		is_first = getpid() == 1 ? proc_is_first_namespace(AT_FDCWD) : 0;
	return is_first > 0;
}

bool host_may_be_first_init(void)
{
	/* It is boot that mounts /proc there. */
	return getpid() == 1 && (access("/proc/self/ns/pid", F_OK) < 0 || host_is_first_init());
}

/* What comes from the file: a static program's segments lie where their headers say. */
static int lock_program(void)
{
	const ElfW(Phdr) *headers = (const void *)(uintptr_t)getauxval(AT_PHDR);
	unsigned long count = headers ? getauxval(AT_PHNUM) : 0;

	for (unsigned long i = 0; i < count; i++) {
		const ElfW(Phdr) *h = &headers[i];
		if (h->p_type == PT_LOAD &&
		    mlock((const void *)(uintptr_t)h->p_vaddr, h->p_filesz) < 0)
			return -errno;
	}
	return count > 0 ? 0 : -ENOEXEC;
}

/* What is nobody's file yet comes from memory when it is needed: so it is locked when it is there. */
void host_stay_in_memory(void)
{
	if (!host_is_first_init())
		return;
	int r = lock_program();
	if (mlockall(MCL_CURRENT | MCL_ONFAULT) < 0 && r == 0)
		r = -errno;
	if (r == 0)
		return;
	event_with_i64("errno", -r);
	event_emit(EVENT_WARNING, "init-not-locked", NULL,
		   "PID 1 cannot stay in memory: a disk that does not answer can keep it");
}

/* SIGINT is the kernel's own, for ctrl-alt-del. What is not here, and the power button, means off. */
enum machine_end host_end_of_signal(int signal)
{
	static const struct {
		int signal;
		enum machine_end end;
	} table[] = {
		{SIGINT, MACHINE_RESTART},
		{SIGNALS_RTMIN + 3, MACHINE_HALT},
		{SIGNALS_RTMIN + 4, MACHINE_POWER_OFF},
		{SIGNALS_RTMIN + 5, MACHINE_RESTART},
	};

	for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
		if (table[i].signal == signal)
			return table[i].end;
	}
	return MACHINE_POWER_OFF;
}

/* ---- what becomes of it */

static const struct {
	enum machine_end end;
	const char *why;
} failed_ends[FAILED_COUNT] = {
	[FAILED_SLOT] = {MACHINE_POWER_OFF, ": FailedBoot=slot, and there is no other slot"},
	[FAILED_POWEROFF] = {MACHINE_POWER_OFF, ": FailedBoot=poweroff"},
	[FAILED_REBOOT] = {MACHINE_RESTART, ": FailedBoot=reboot"},
};

bool host_has_failed(const struct instance *in)
{
	return in->is_host && in->n_stops == 0 && in->status != 0;
}

static _Noreturn void force(enum machine_end how)
{
	machine_end(how);
	event_emit(EVENT_ERROR, "end-forced", NULL,
		   "the machine does not end in order: it is restarted at once");
	machine_reset();
}

static void end_late(enum machine_end how)
{
	event_emit(EVENT_ERROR, "end-deadline", NULL,
		   "the end takes too long: something in it hangs, and the machine %s without it",
		   machine_end_texts[how]);
	force(how);
}

void host_begin_end(struct instance *in, uint64_t timeout_us)
{
	in->is_host = host_is_first_init();
	if (!in->is_host)
		return;
	if (host_has_failed(in))
		in->end = failed_ends[in->failed_boot].end;
	pid_t pid = machine_watch(clock_add_us(clock_now_us(), timeout_us), in->end, end_late);
	in->watcher = pid > 0 ? pid : 0;
}

_Noreturn void host_end(const struct instance *in)
{
	event_emit(EVENT_NOTICE, "machine-ends", NULL, "the machine %s%s",
		   machine_end_texts[in->end],
		   host_has_failed(in) ? failed_ends[in->failed_boot].why : "");
	watchdog_leave(in);
	force(in->end);
}
