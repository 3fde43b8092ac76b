/*
 * The sources of `file:` secrets, opened while we are still root: what holdfast-secrets then reads
 * needs no right but to read its fds. An essential one that is missing ends the boot here, with its
 * place in the unit file, and not minutes later.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "units/source.h"

#define PREFIX "file:"

/* Never waits: a FIFO or a device is opened without effect, and refused. */
static int open_source(const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

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

static int open_secret(struct boot *boot, uint32_t index)
{
	const struct plan_secret *secret = plan_secret(&boot->plan, index);
	const char *reference = plan_string(&boot->plan, secret->reference);

	if (secret->flags & SECRET_IS_REMOTE)
		return need_program(boot, secret);
	if (!str_starts(reference, PREFIX))
		return 0;
	CLEANUP(fd_closep) int fd = open_source(reference + strlen(PREFIX));
	if (fd >= 0)
		return boot_put(boot, STORE_SECRET_FILE, index, fd);
	if (secret->flags & SECRET_OPTIONAL)
		return 0;
	return boot_fail(boot, source_status(-fd), "%s:%u: secret %s: %s: %s",
			 plan_string(&boot->plan, secret->file), secret->line,
			 plan_string(&boot->plan, secret->name), reference,
			 fd == -EINVAL ? "is not a regular file" : strerror(-fd));
}

int secrets_open(struct boot *boot)
{
	int status = 0;

	for (uint32_t i = 0; i < plan_section_count(&boot->plan, PLAN_SECRETS) && status == 0; i++)
		status = open_secret(boot, i);
	return status;
}
