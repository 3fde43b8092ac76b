#include "init/initramfs/end.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/sys.h"

#define DRAIN_S	 2
#define ORDER_MS 5000 /* DRAIN_S is within */

static void wake(int signal)
{
	(void)signal;
}

/* A serial line is slow and keeps what was written in memory that the end would take with it. One
 * that is held by the other side does not keep us. */
static void drain_console(void)
{
	const struct sigaction action = {.sa_handler = wake};

	(void)sigaction(SIGALRM, &action, NULL);
	(void)alarm(DRAIN_S);
	(void)tcdrain(STDERR_FILENO);
	(void)alarm(0);
}

static _Noreturn void end_in_order(enum cmdline_failed_boot how)
{
	static const int commands[FAILED_BOOT_COUNT] = {
		[FAILED_BOOT_POWEROFF] = RB_POWER_OFF,
		[FAILED_BOOT_REBOOT] = RB_AUTOBOOT,
	};

	drain_console();
	(void)reboot(commands[how]);
	_exit(1);
}

/* Until the process has ended, which means that reboot(2) was refused, or the time is over. */
static void wait_for(pid_t pid)
{
	CLEANUP(fd_closep) int pidfd = sys_pidfd_open(pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	(void)poll(&p, 1, ORDER_MS);
}

/*
 * reboot(2) asks every driver first, and waits for the lock of a device whose driver hangs. So a
 * process of its own calls it, and what remains has no such manners: a restart at once (the b of
 * Documentation/admin-guide/sysrq.rst), even where the machine should have powered off.
 */
_Noreturn void end_boot(enum cmdline_failed_boot how)
{
	pid_t pid = fork();

	if (pid == 0)
		end_in_order(how);
	if (pid > 0)
		wait_for(pid);
	event_emit(EVENT_ERROR, "end-forced", NULL,
		   "the machine does not end in order: it is restarted at once");
	drain_console();
	(void)io_write_file(AT_FDCWD, "/proc/sysrq-trigger", "b");
	/* Our end, where we are PID 1, is the kernel's panic. */
	_exit(1);
}

/* Nothing ends the wait but the deadline: who needs it no more kills this process. */
static _Noreturn void watch(uint64_t deadline_us, enum cmdline_failed_boot how)
{
	(void)prctl(PR_SET_NAME, "holdfast-watch");
	while (clock_now_us() < deadline_us)
		(void)poll(NULL, 0, clock_poll_ms(deadline_us));
	event_emit(EVENT_ERROR, "boot-timeout", NULL,
		   "the initramfs did not come to an end in time: something in it hangs");
	end_boot(how);
}

pid_t end_watch(uint64_t deadline_us, enum cmdline_failed_boot how)
{
	pid_t pid = fork();

	if (pid == 0)
		watch(deadline_us, how);
	return pid < 0 ? -errno : pid;
}

void end_unwatch(pid_t pid)
{
	if (pid <= 0)
		return;
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
