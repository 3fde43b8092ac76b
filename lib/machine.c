#include "lib/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/sys.h"

#define DRAIN_S	 2
#define ORDER_MS 10000 /* DRAIN_S is within */

const char *const machine_end_texts[MACHINE_END_COUNT] = {
	[MACHINE_POWER_OFF] = "powers off",
	[MACHINE_RESTART] = "restarts",
	[MACHINE_HALT] = "halts",
};

static void wake(int signal)
{
	(void)signal;
}

/* A serial line is slow and keeps what was written in memory that the end would take with it. One
 * that is held by the other side does not keep us. */
void machine_drain_console(void)
{
	const struct sigaction action = {.sa_handler = wake};
	sigset_t alarms, before;

	(void)sigaction(SIGALRM, &action, NULL);
	(void)sigemptyset(&alarms);
	(void)sigaddset(&alarms, SIGALRM);
	(void)sigprocmask(SIG_UNBLOCK, &alarms, &before);
	(void)alarm(DRAIN_S);
	(void)tcdrain(STDERR_FILENO);
	(void)alarm(0);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
}

static _Noreturn void end_in_order(enum machine_end how)
{
	static const int commands[MACHINE_END_COUNT] = {
		[MACHINE_POWER_OFF] = RB_POWER_OFF,
		[MACHINE_RESTART] = RB_AUTOBOOT,
		/* musl has it without a sign. */
		[MACHINE_HALT] = (int)RB_HALT_SYSTEM,
	};

	machine_drain_console();
	(void)reboot(commands[how]);
	_exit(1);
}

void machine_end(enum machine_end how)
{
	pid_t pid = fork();

	if (pid == 0)
		end_in_order(how);
	if (pid < 0)
		return;
	CLEANUP(fd_closep) int pidfd = sys_pidfd_open(pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	(void)poll(&p, 1, ORDER_MS);
}

static int sysrq = -EBADF;

void machine_keep_reset(void)
{
	sysrq = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
}

_Noreturn void machine_reset(void)
{
	machine_drain_console();
	if (sysrq < 0)
		machine_keep_reset();
	(void)!write(sysrq, "b", 1);
	_exit(1);
}

static _Noreturn void watch(uint64_t deadline_us, enum machine_end how,
			    void (*at_deadline)(enum machine_end how))
{
	(void)prctl(PR_SET_NAME, "holdfast-watch");
	while (clock_now_us() < deadline_us)
		(void)poll(NULL, 0, clock_poll_ms(deadline_us));
	at_deadline(how);
	_exit(1);
}

pid_t machine_watch(uint64_t deadline_us, enum machine_end how,
		    void (*at_deadline)(enum machine_end how))
{
	pid_t pid = fork();

	if (pid == 0)
		watch(deadline_us, how, at_deadline);
	return pid < 0 ? -errno : pid;
}
