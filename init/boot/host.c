/*
 * The kernel's parameters, on a host alone: in a container they are the runtime's.
 *
 * Two tables. What is always set closes ways in, and ways of changing what runs; the image's own
 * [Sysctl] takes the place of a line of it, since it is as much part of what was proven as this
 * program. What cannot be opened again is closed at the end (doors.c).
 *
 * A parameter that the kernel has and that does not read as it should is a promise that cannot be
 * kept, and ends the boot. One that it does not have (an older kernel, a feature that was left out) is
 * named by the protection.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "init/boot/boot.h"
#include "init/boot/sysctl.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

struct sysctl {
	const char *path, *value;
};

static const struct sysctl always[] = {
	{"dev/tty/ldisc_autoload", "0"},
	{"dev/tty/legacy_tiocsti", "0"},
	{"fs/protected_fifos", "2"},
	{"fs/protected_hardlinks", "1"},
	{"fs/protected_regular", "2"},
	{"fs/protected_symlinks", "1"},
	{"fs/suid_dumpable", "0"},
	/* A helper that is not there: a core is then written nowhere (core(5)). */
	{"kernel/core_pattern", "|/nonexistent"},
	{"kernel/ctrl-alt-del", "0"}, /* is a signal for PID 1 */
	{"kernel/dmesg_restrict", "1"},
	{"kernel/kptr_restrict", "2"},
	{"kernel/modprobe", ""},
	{"kernel/panic", "10"},
	{"kernel/panic_on_oops", "1"},
	{"kernel/perf_event_paranoid", "3"},
	{"kernel/randomize_va_space", "2"},
	{"kernel/sysrq", "0"},
	{"kernel/unprivileged_bpf_disabled", "1"},
	{"kernel/yama/ptrace_scope", "3"},
	{"net/core/bpf_jit_harden", "2"},
	{"user/max_user_namespaces", "0"},
	{"vm/unprivileged_userfaultfd", "0"},
};

/* What they turn off many kernels are without, and then it need not be turned off. */
static const struct sysctl rare[] = {
	{"kernel/hotplug", ""}, /* no helper of the kernel's: uevents are for sockets */
	{"kernel/oops_limit", "1"},
	{"vm/memfd_noexec", "2"}, /* no programs in memory files: no mount, no mark, no lint */
};

/* Why one could not be set, as a sentence for the cause; missing ones are named in missing. */
static int set_one(struct boot *boot, int dirfd, const struct sysctl *sysctl,
		   struct strbuf *missing)
{
	int r = sysctl_set(dirfd, sysctl->path, sysctl->value);

	if (r == 0)
		return 0;
	if (r == -ENOENT) {
		strbuf_addf(missing, " %s", sysctl->path);
		return 0;
	}
	return boot_fail(boot, EX_OSERR, "the kernel parameter %s cannot be set to \"%s\": %s",
			 sysctl->path, sysctl->value, sysctl_explain(r));
}

static bool is_named_by_image(const char *const *lines, const char *path)
{
	size_t length = strlen(path);

	for (; *lines; lines++) {
		if (strncmp(*lines, path, length) == 0 && (*lines)[length] == '=')
			return true;
	}
	return false;
}

/* But for those of which the image says otherwise: some could not be set back. */
static int set_table(struct boot *boot, int dirfd, const struct sysctl *table, size_t count,
		     struct strbuf *missing, struct strbuf *weaker)
{
	const char *const *own = units_conf(boot->units)->sysctls;
	int status = 0;

	for (size_t i = 0; i < count && status == 0; i++) {
		if (is_named_by_image(own, table[i].path))
			strbuf_addf(weaker, " %s", table[i].path);
		else
			status = set_one(boot, dirfd, &table[i], missing);
	}
	return status;
}

/* What the image says is there has to be. */
static int set_own(struct boot *boot, int dirfd)
{
	for (const char *const *line = units_conf(boot->units)->sysctls; *line; line++) {
		char path[BOOT_PATH_MAX];
		const char *value = strchr(*line, '=') + 1;
		size_t length = (size_t)(value - *line) - 1;
		if (length >= sizeof(path))
			return boot_fail(boot, EX_CONFIG, "[Sysctl]: %s: the name is too long",
					 *line);
		memcpy(path, *line, length);
		path[length] = '\0';
		int r = sysctl_set(dirfd, path, value);
		if (r < 0)
			return boot_fail(boot, EX_OSERR, "[Sysctl]: %s cannot be set to %s: %s",
					 path, value, sysctl_explain(r));
	}
	return 0;
}

static void report(struct boot *boot, const char *missing, const char *weaker)
{
	bool is_full = !*missing && !*weaker;

	boot_protect(boot, "sysctl", is_full ? PROTECTION_FULL : PROTECTION_REDUCED,
		     is_full ? "all set and read back" : "set and read back, but for some",
		     "%s%s%s%s", *missing ? "this kernel does not have" : "", missing,
		     *weaker ? "; [Sysctl] says otherwise of" : "", weaker);
}

int sysctls_set(struct boot *boot)
{
	char missing_text[160], weaker_text[120], rare_text[160];
	struct strbuf missing, weaker, not_there;

	if (!boot->is_host)
		return 0;
	CLEANUP(fd_closep) int dirfd = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return boot_fail(boot, EX_OSERR, "/proc/sys: %s", strerror(errno));
	strbuf_init(&missing, missing_text, sizeof(missing_text));
	strbuf_init(&weaker, weaker_text, sizeof(weaker_text));
	strbuf_init(&not_there, rare_text, sizeof(rare_text));
	int status = set_table(boot, dirfd, always, ARRAY_COUNT(always), &missing, &weaker);
	if (status == 0)
		status = set_table(boot, dirfd, rare, ARRAY_COUNT(rare), &not_there, &weaker);
	if (status == 0)
		status = set_own(boot, dirfd);
	if (status == 0)
		report(boot, missing_text, weaker_text);
	return status;
}
