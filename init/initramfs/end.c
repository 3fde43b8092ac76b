#include "init/initramfs/end.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

#include "lib/event.h"

_Noreturn void end_boot(enum machine_end how)
{
	machine_end(how);
	event_emit(EVENT_ERROR, "end-forced", NULL,
		   "the machine does not end in order: it is restarted at once");
	machine_reset();
}

static void end_late(enum machine_end how)
{
	event_emit(EVENT_ERROR, "boot-timeout", NULL,
		   "the initramfs did not come to an end in time: something in it hangs");
	end_boot(how);
}

pid_t end_watch(uint64_t deadline_us, enum machine_end how)
{
	return machine_watch(deadline_us, how, end_late);
}

void end_unwatch(pid_t pid)
{
	if (pid <= 0)
		return;
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}
