#pragma once
/*
 * How a machine ends: reboot(2), asked for in order, and what comes where it hangs. For whoever is the
 * init of one, since it must not just exit.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum machine_end { MACHINE_POWER_OFF, MACHINE_RESTART, MACHINE_HALT, MACHINE_END_COUNT };

/* "the machine …": powers off, restarts, halts. */
extern const char *const machine_end_texts[MACHINE_END_COUNT];

/* What becomes of a machine whose instance failed: FailedBoot= (holdfast.conf(5)). */
enum failed_boot { FAILED_SLOT, FAILED_POWEROFF, FAILED_REBOOT, FAILED_COUNT };

/* Lets a serial line write out what stderr was given, for at most two seconds. */
void machine_drain_console(void);

/*
 * reboot(2) asks every driver first, and waits for the lock of a device whose driver hangs; also the
 * init that calls it itself dies of what is refused. So a process of its own does, and this returns
 * when that was refused, or has taken ten seconds.
 */
void machine_end(enum machine_end how);

/* What has no such manners: a restart at once (the b of Documentation/admin-guide/sysrq.rst), even
 * where the machine should have powered off. Where all fails init's exit is the kernel's panic. */
_Noreturn void machine_reset(void);
/* Opens what that takes now, for when no path leads there. */
void machine_keep_reset(void);

/*
 * Starts a process that calls at_deadline, which must not return, at that time (lib/clock.h), whatever
 * hangs meanwhile. Its pid, or -errno; who needs it no more kills it.
 */
pid_t machine_watch(uint64_t deadline_us, enum machine_end how,
		    void (*at_deadline)(enum machine_end how));
