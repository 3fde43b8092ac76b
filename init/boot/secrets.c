/*
 * The sources of `file:` secrets, opened while we are still root: what holdfast-secrets then reads
 * needs no right but to read its fds. An essential one that is missing ends the boot here, with its
 * place in the unit file, and not minutes later; but not where a condition keeps the unit from starting.
 *
 * On a host so are those of `cred:` secrets: what the hypervisor gives a machine by its firmware
 * (QEMU's fw_cfg, under the name that systemd.system-credentials(7) looks for), which the kernel's
 * qemu_fw_cfg shows to root alone. A container's are files of the runtime's $CREDENTIALS_DIRECTORY,
 * which the program that reads them opens itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/condition.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "units/source.h"

static const struct opened {
	const char *prefix;
	const char *before, *behind; /* what makes a path of the rest of the reference */
	const char *missing;
	bool is_for_hosts;
} opened[] = {
	{"file:", "", "", "No such file or directory", false},
	{"cred:", "/sys/firmware/qemu_fw_cfg/by_name/opt/io.systemd.credentials/", "/raw",
	 "the hypervisor gave none, or the kernel's module qemu_fw_cfg is not loaded", true},
};

/* NULL: it is not opened here. */
static const struct opened *find_opened(const struct boot *boot, const char *reference)
{
	for (size_t i = 0; i < ARRAY_COUNT(opened); i++) {
		if (str_starts(reference, opened[i].prefix))
			return opened[i].is_for_hosts && !boot->is_host ? NULL : &opened[i];
	}
	return NULL;
}

static const char *fault(const struct opened *kind, int error)
{
	return error == EINVAL	 ? "is not a regular file"
	       : error == ENOENT ? kind->missing
				 : strerror(error);
}

/* Never waits: a FIFO or a device is opened without effect, and refused. */
static int open_source(const struct opened *kind, const char *rest)
{
	char path[PATH_MAX];
	struct stat st;
	struct strbuf text;

	strbuf_init(&text, path, sizeof(path));
	strbuf_addf(&text, "%s%s%s", kind->before, rest, kind->behind);
	if (text.is_cut)
		return -ENAMETOOLONG;
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? fd_steal(&fd) : -EINVAL;
}

/* The program that speaks with services is an extra, for it brings its libraries. */
static int need_program(struct boot *boot, const struct plan_secret *secret)
{
	if (store_find(boot->store, STORE_EXEC, ROLE_SECRETS_REMOTE) >= 0)
		return 0;
	return boot_fail(boot, EX_CONFIG,
			 "%s:%u: secret %s: %s needs the program %s, which is not installed beside "
			 "holdfast",
			 plan_string(&boot->plan, secret->file), secret->line,
			 plan_string(&boot->plan, secret->name),
			 plan_string(&boot->plan, secret->reference),
			 role_programs[ROLE_SECRETS_REMOTE]);
}

/* A condition that may hold later: whoever fetches the secret then looks for it again. */
static bool is_needed_now(const struct boot *boot, uint32_t unit)
{
	const char *text;

	return condition_check(&boot->plan, unit, &text) == CONDITION_HOLDS;
}

static int miss(struct boot *boot, uint32_t unit, const struct plan_secret *secret, int status,
		const char *why)
{
	if (secret->flags & SECRET_OPTIONAL || !is_needed_now(boot, unit))
		return 0;
	return boot_fail(boot, status, "%s:%u: secret %s: %s: %s",
			 plan_string(&boot->plan, secret->file), secret->line,
			 plan_string(&boot->plan, secret->name),
			 plan_string(&boot->plan, secret->reference), why);
}

static bool has_variable(const struct boot *boot, const char *name)
{
	size_t length = strlen(name);

	for (const char *const *e = boot->environment; *e; e++) {
		if (strncmp(*e, name, length) == 0 && (*e)[length] == '=')
			return true;
	}
	return false;
}

static int open_secret(struct boot *boot, uint32_t unit, uint32_t index)
{
	const struct plan_secret *secret = plan_secret(&boot->plan, index);
	const char *reference = plan_string(&boot->plan, secret->reference);
	const struct opened *kind = find_opened(boot, reference);

	if (secret->flags & SECRET_IS_REMOTE)
		return need_program(boot, secret);
	/* Which it is the machine says later. */
	if (secret->flags & SECRET_NEEDS_IDENTITY)
		return 0;
	if (str_starts(reference, "env:") && !has_variable(boot, reference + strlen("env:")))
		return miss(boot, unit, secret, EX_NOINPUT,
			    "the variable is not set in holdfast's environment");
	if (!kind)
		return 0;
	CLEANUP(fd_closep) int fd = open_source(kind, reference + strlen(kind->prefix));
	if (fd >= 0)
		return boot_put(boot, STORE_SECRET_FILE, index, fd);
	return miss(boot, unit, secret, source_status(-fd), fault(kind, -fd));
}

static int open_of_unit(struct boot *boot, uint32_t u)
{
	const struct plan_unit *unit = plan_unit(&boot->plan, u);
	int status = 0;

	if (unit->flags & UNIT_IS_SKIPPED)
		return 0;
	for (uint32_t i = 0; i < unit->secrets.count && status == 0; i++)
		status = open_secret(boot, u, unit->secrets.first + i);
	return status;
}

int secrets_open(struct boot *boot)
{
	int status = 0;

	for (uint32_t u = 0; u < plan_unit_count(&boot->plan) && status == 0; u++)
		status = open_of_unit(boot, u);
	return status;
}
