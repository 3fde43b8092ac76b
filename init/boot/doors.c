/*
 * The doors of a host that boot closes behind itself, last of all: from here on root itself cannot
 * change the kernel that runs.
 *
 *   lockdown    the kernel's own (kernel_lockdown(7)), at the level of Lockdown=: no /dev/mem, no
 *               unsigned code, no other way into the kernel's memory
 *   modules     none is loaded any more, and no other kernel
 *   tunables    /sys and /proc/sys are read-only mounts, but for what networks are set by
 *
 * The first two are one-way by the kernel's word. The third is a mount: it keeps the services that
 * have no CAP_SYS_ADMIN, and accidents of the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "init/boot/sysctl.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define STRICT	      (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define SECURITY      "/sys/kernel/security"
#define LOCKDOWN      SECURITY "/lockdown"
#define SIGNATURES    "/sys/module/module/parameters/sig_enforce"
#define DEVKMSG_LIMIT "/proc/sys/kernel/printk_devkmsg"

/* ---- lockdown */

/* The file reads "none [integrity] confidentiality". */
static enum units_lockdown level_in_force(void)
{
	char text[128], word[32];

	if (io_read_file(AT_FDCWD, LOCKDOWN, text, sizeof(text)) < 0)
		return LOCKDOWN_NONE;
	for (int i = LOCKDOWN_COUNT - 1; i > 0; i--) {
		(void)snprintf(word, sizeof(word), "[%s]", units_lockdown_names[i]);
		if (strstr(text, word))
			return (enum units_lockdown)i;
	}
	return LOCKDOWN_NONE;
}

static const char *signatures(void)
{
	char text[8];

	if (io_read_file(AT_FDCWD, SIGNATURES, text, sizeof(text)) <= 0)
		return "modules have no signatures";
	return *text == 'Y' ? "modules were taken with a signature alone"
			    : "modules were taken without a signature, too";
}

static void report_lockdown(struct boot *boot, enum units_lockdown level, const char *why)
{
	char rung[96];

	(void)snprintf(rung, sizeof(rung), "%s; %s", units_lockdown_names[level], signatures());
	boot_protect(boot, "lockdown", *why ? PROTECTION_REDUCED : PROTECTION_FULL, rung, "%s",
		     why);
}

static int lock_down(struct boot *boot)
{
	enum units_lockdown wanted = units_conf(boot->units)->lockdown;

	/* The initramfs of another may have done it. */
	if (access(LOCKDOWN, F_OK) < 0)
		(void)mount("securityfs", SECURITY, "securityfs", STRICT, NULL);
	bool is_there = access(LOCKDOWN, F_OK) == 0;
	if (is_there && level_in_force() < wanted)
		(void)io_write_file(AT_FDCWD, LOCKDOWN, units_lockdown_names[wanted]);
	enum units_lockdown level = level_in_force();
	if (is_there && level < wanted)
		return boot_fail(boot, EX_OSERR, "the kernel's lockdown cannot be set to %s",
				 units_lockdown_names[wanted]);
	report_lockdown(boot, level,
			!is_there		  ? "this kernel has no lockdown"
			: wanted == LOCKDOWN_NONE ? "Lockdown=none"
						  : "");
	return 0;
}

/* ---- modules */

static const char *const last[] = {"kernel/modules_disabled", "kernel/kexec_load_disabled"};

static int close_modules(struct boot *boot)
{
	char text[160];
	struct strbuf missing;
	CLEANUP(fd_closep) int dirfd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);

	strbuf_init(&missing, text, sizeof(text));
	for (size_t i = 0; i < ARRAY_COUNT(last); i++) {
		int r = sysctl_set(dirfd, last[i], "1");
		if (r == -ENOENT)
			strbuf_addf(&missing, " %s", last[i]);
		else if (r < 0)
			return boot_fail(boot, EX_OSERR,
					 "the kernel parameter %s cannot be set to 1: %s", last[i],
					 sysctl_explain(r));
	}
	boot_protect(boot, "modules", missing.length ? PROTECTION_REDUCED : PROTECTION_FULL,
		     "no more modules, no other kernel", "%s%s",
		     missing.length ? "this kernel does not have" : "", text);
	return 0;
}

/* ---- tunables */

/* Not /proc/sys/net: who asks a network for an address sets its interface there. */
static const char *const tunables[] = {
	"/sys",		"/proc/sys/abi",    "/proc/sys/debug", "/proc/sys/dev",
	"/proc/sys/fs", "/proc/sys/kernel", "/proc/sys/user",  "/proc/sys/vm",
};

static int make_read_only(const char *path)
{
	/* /sys is a mount already, and what is mounted below it stays as it is. */
	if (!str_equal(path, "/sys") && mount(path, path, NULL, MS_BIND, NULL) < 0)
		return -errno;
	return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | STRICT, NULL) < 0 ? -errno
											    : 0;
}

static int close_tunables(struct boot *boot)
{
	/* As the kernel had it: from here on who writes much into its log is cut short. */
	(void)io_write_file(AT_FDCWD, DEVKMSG_LIMIT, "ratelimit");
	for (size_t i = 0; i < ARRAY_COUNT(tunables); i++) {
		int r = make_read_only(tunables[i]);
		if (r < 0 && r != -ENOENT)
			return boot_fail(boot, EX_OSERR, "%s cannot be made read-only: %s",
					 tunables[i], strerror(-r));
	}
	boot_protect(boot, "tunables", PROTECTION_FULL, "read-only, but for /proc/sys/net", "%s",
		     "");
	return 0;
}

int doors_close(struct boot *boot)
{
	static int (*const closers[])(struct boot * boot) = {lock_down, close_modules,
							     close_tunables};
	int status = 0;

	for (size_t i = 0; i < ARRAY_COUNT(closers) && boot->is_host && status == 0; i++)
		status = closers[i](boot);
	return status;
}
