#pragma once
/*
 * Signals by name and number, as people write them: TERM, SIGTERM, term, 15, RTMIN+3, RTMAX-1.
 *
 * RTMIN is 34 and RTMAX is 64, as in glibc, systemd and Docker, whatever the libc that holdfast is
 * built with says (musl: 35): whoever writes RTMIN+3 means what the sender's tools mean by it.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#define SIGNALS_MAX   64
#define SIGNALS_RTMIN 34
#define SIGNALS_RTMAX 64

/* The longest name with its NUL: "RTMIN+30". */
#define SIGNALS_NAME_SIZE 12

/* As the kernel has it: bit number - 1. libc's sigset_t hides 32 to 34, which are signals like any
 * other to those who inherit them, so masks go to the kernel directly. */
#define SIGNALS_BIT(number) (UINT64_C(1) << ((number)-1))

/* 1 … SIGNALS_MAX, or -EINVAL for what names no signal. */
int signals_parse(const char *text);
/* The same in capitals alone, as unit files have it (systemd.kill(5)). */
int signals_parse_exact(const char *text);

/* Without SIG. Signals that have no name are numbers. */
void signals_name(int number, char ret_name[SIGNALS_NAME_SIZE]);

/*
 * Raised by the kernel for what a program did itself (SEGV, ILL, FPE, BUS, TRAP, ABRT, SYS): never a
 * request to pass on. Blocking them would make the fault of whoever blocks them silent.
 */
#define SIGNALS_FAULTS                                                                            \
	(SIGNALS_BIT(SIGSEGV) | SIGNALS_BIT(SIGILL) | SIGNALS_BIT(SIGFPE) | SIGNALS_BIT(SIGBUS) | \
	 SIGNALS_BIT(SIGTRAP) | SIGNALS_BIT(SIGABRT) | SIGNALS_BIT(SIGSYS))

/* Can be received, waited for and passed on: not a fault, not KILL or STOP, not CHLD. */
bool signals_is_forwarded(int number);

/* rt_sigprocmask(SIG_SETMASK). */
void signals_set_mask(uint64_t mask, uint64_t *ret_old);

/* Ignored, or as it is by default: also of the signals that libc's sigaction() keeps for itself. */
void signals_ignore(int number, bool is_ignored);

/* rt_sigtimedwait(2): the number, or -EAGAIN after timeout_us (USEC_INFINITY: never), or -EINTR. */
int signals_wait(uint64_t mask, uint64_t timeout_us);

/* Be sent the signal when our parent dies; 0: ask for nothing. One that died before the kernel knew
 * is made up for. 0 or -errno (prctl(2), PR_SET_PDEATHSIG). */
int signals_ask_at_parents_death(int number);
