#include "init/initramfs/end.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/event.h"

#define DRAIN_S 2

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

_Noreturn void end_boot(enum cmdline_failed_boot how)
{
	static const int commands[FAILED_BOOT_COUNT] = {
		[FAILED_BOOT_POWEROFF] = RB_POWER_OFF,
		[FAILED_BOOT_REBOOT] = RB_AUTOBOOT,
	};

	drain_console();
	(void)reboot(commands[how]);
	/* It was refused, which the first init never is. Our end is the kernel's panic. */
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
