/*
 * The machine's watchdog is armed as soon as holdfast.conf has said for how long, and before anything
 * is waited for (the network): PID 1 feeds it from then on (init/pid1/watchdog.c). What is not there
 * is said: then nothing ends a machine whose kernel, or PID 1, hangs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/watchdog.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

#define NAME "watchdog"

static int open_first(void)
{
	static const char *const paths[] = {"/dev/watchdog0", "/dev/watchdog"};
	int fd = -1;

	for (size_t i = 0; i < ARRAY_COUNT(paths) && fd < 0; i++)
		fd = open(paths[i], O_WRONLY | O_CLOEXEC);
	return fd;
}

/* The libraries do not agree on the type of ioctl's second argument. */
static int call(int fd, unsigned long command, void *value)
{
	return syscall(SYS_ioctl, fd, command, value) < 0 ? -errno : 0;
}

static void report(struct boot *boot, int fd, uint32_t wanted_s, int error)
{
	struct watchdog_info info = {0};
	char rung[64];
	int timeout_s = 0;

	(void)call(fd, WDIOC_GETSUPPORT, &info);
	(void)call(fd, WDIOC_GETTIMEOUT, &timeout_s);
	info.identity[sizeof(info.identity) - 1] = '\0';
	(void)snprintf(rung, sizeof(rung), "%d s, %s", timeout_s, (const char *)info.identity);
	if (error == 0 && timeout_s == (int)wanted_s)
		boot_protect(boot, NAME, PROTECTION_FULL, rung, "%s", "");
	else
		boot_protect(boot, NAME, PROTECTION_REDUCED, rung,
			     "RuntimeWatchdogSec= says %u s, which it does not take", wanted_s);
}

int watchdog_arm(struct boot *boot)
{
	const struct units_conf *conf = units_conf(boot->units);
	int wanted_s = (int)conf->runtime_watchdog_s;

	if (!boot->is_host)
		return 0;
	if (wanted_s == 0) {
		boot_protect(boot, NAME, PROTECTION_NONE, "off", "RuntimeWatchdogSec=off");
		return 0;
	}
	CLEANUP(fd_closep) int fd = open_first();
	if (fd < 0) {
		boot_protect(boot, NAME, PROTECTION_NONE, "none",
			     "nothing resets a machine that hangs: /dev/watchdog0: %s",
			     strerror(errno));
		return 0;
	}
	int r = call(fd, WDIOC_SETTIMEOUT, &wanted_s);
	report(boot, fd, conf->runtime_watchdog_s, r);
	int status = boot_put(boot, STORE_WATCHDOG, 0, fd);
	if (status == 0)
		boot_tell_watchdog(boot, conf->reboot_watchdog_s);
	return status;
}
