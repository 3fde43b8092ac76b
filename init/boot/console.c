/*
 * A host's console, which the kernel opened for PID 1: what happens is written there, for people, and
 * nothing is read from it. There is no program that would; what is left is what a terminal does by
 * itself, and that is turned off (lib/tty.h).
 *
 * Until log runs nobody keeps what we say, so on a host it goes into the kernel's log, too: the dump
 * has that from the first line of the initramfs on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/event.h"
#include "lib/tty.h"

int console_settle(struct boot *boot)
{
	if (!boot->is_host)
		return 0;
	event_copy_to_kernel_log(open("/dev/kmsg", O_WRONLY | O_CLOEXEC));
	int r = tty_deafen(STDERR_FILENO);
	if (r == 0 || r == -ENOTTY)
		boot_protect(boot, "console", PROTECTION_FULL,
			     r == 0 ? "written to alone: what is typed is thrown away"
				    : "no terminal",
			     "%s", "");
	else
		boot_protect(boot, "console", PROTECTION_REDUCED, "nothing reads from it",
			     "it does not take its settings: %s", strerror(-r));
	return 0;
}
