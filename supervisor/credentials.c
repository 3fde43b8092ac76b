#include "supervisor/child.h"

/*
 * Secrets on their last metre: from the file that holdfast-secrets filled to the service's
 * directory or file descriptors (its environment: supervisor/command.c). All of it runs in a child
 * whose memory is a copy and is gone with the exec.
 *
 * A unit's directory is made whole beside its place and then takes it in one step, so that a reader
 * sees the old files or the new ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/secretfile.h"
#include "lib/sys.h"

#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC	  1U
#define MFD_ALLOW_SEALING 2U
#endif
#define EXCHANGE 2U /* RENAME_EXCHANGE: renameat2(2) */

int credentials_map(struct child *child)
{
	int fd = child->secret_fd;
	struct stat st;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	child->secrets = data;
	child->secrets_size = (size_t)st.st_size;
	return 0;
}

/* 1 with the record; 0 when it is not there and need not be. */
static int find(struct child *child, const struct plan_secret *secret,
		struct secretfile_record *ret_record)
{
	const char *name = plan_string(child->spawner->plan, secret->name);
	int r = secretfile_find(child->secrets, child->secrets_size, name, ret_record);

	if (r == 0 && !(secret->flags & SECRET_OPTIONAL) && *name) {
		(void)snprintf(child->text, sizeof(child->text), "%s was not fetched", name);
		child->detail = child->text;
		return -ENOKEY;
	}
	return r;
}

int credentials_own(const struct child *child, int fd, uint32_t mode)
{
	uint32_t uid = child->unit->uid, gid = child->unit->gid;

	if (uid != PLAN_NO_ID && uid != child->spawner->uid && fchown(fd, uid, gid) < 0)
		return -errno;
	return fchmod(fd, (mode_t)mode) < 0 ? -errno : 0;
}

static int write_file(struct child *child, int dirfd, const struct plan_secret *secret)
{
	const char *name = plan_string(child->spawner->plan, secret->name);
	struct secretfile_record record;

	int r = find(child, secret, &record);
	if (r <= 0)
		return r;
	child->detail = name;
	if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	CLEANUP(fd_closep)
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = io_write_all(fd, record.value, record.value_length);
	return r < 0 ? r : credentials_own(child, fd, secret->mode ? secret->mode : 0400);
}

/* Who may read one of the files may also enter the directory. */
static int fill(struct child *child, int dirfd)
{
	struct plan_range range = child->unit->secrets, templates = child->unit->templates;
	uint32_t mode = 0500;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_secret *secret =
			plan_secret(child->spawner->plan, range.first + i);
		if (secret->delivery != SECRET_FILE)
			continue;
		int r = write_file(child, dirfd, secret);
		if (r < 0)
			return r;
		mode |= (secret->mode & 0044) | ((secret->mode & 0044) >> 2);
	}
	for (uint32_t i = 0; i < templates.count; i++) {
		const struct plan_template *template =
			plan_template(child->spawner->plan, templates.first + i);
		int r = template_write(child, dirfd, template);
		if (r < 0)
			return r;
		mode |= (template->mode & 0044) | ((template->mode & 0044) >> 2);
	}
	return credentials_own(child, dirfd, mode);
}

static void fresh_name(const char *unit, char *name, size_t size)
{
	(void)snprintf(name, size, ".new-%s", unit);
}

static int write_directory(struct child *child, int parent)
{
	char fresh[300];

	fresh_name(child->name, fresh, sizeof(fresh));
	int r = directory_remove(parent, fresh, false);
	if (r < 0)
		return r;
	if (mkdirat(parent, fresh, 0700) < 0)
		return -errno;
	CLEANUP(fd_closep)
	int fd = openat(parent, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fill(child, fd);
	if (r < 0)
		return r;
	if (syscall(SYS_renameat2, parent, fresh, parent, child->name, EXCHANGE) == 0)
		return directory_remove(parent, fresh, false);
	/* None there yet, or a file system that cannot exchange. */
	if (errno != ENOENT)
		(void)directory_remove(parent, child->name, false);
	return renameat(parent, fresh, parent, child->name) < 0 ? -errno : 0;
}

/* A description that nobody else has (the position is part of it), read-only, on memory that cannot
 * swap where there is some. */
static int open_value(struct child *child, const struct secretfile_record *record)
{
	CLEANUP(fd_closep) int fd = -EBADF;

	if (child->credentials_fd >= 0)
		fd = openat(child->credentials_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = sys_memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	int r = io_write_all(fd, record->value, record->value_length);
	if (r < 0)
		return r;
	r = credentials_own(child, fd, 0400);
	if (r < 0)
		return r;
	CLEANUP(fd_closep) int again = fd_reopen(fd, O_RDONLY);
	if (again < 0)
		return again;
	/* Out of the way of LISTEN_FDS. */
	int kept = fcntl(again, F_DUPFD_CLOEXEC, 3 + CHILD_SOCKETS_MAX);
	return kept < 0 ? -errno : kept;
}

static int prepare_fds(struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_range range = child->unit->secrets;
	struct secretfile_record record;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_secret *secret = plan_secret(plan, range.first + i);
		if (secret->delivery != SECRET_FD)
			continue;
		if (child->n_secret_fds == CHILD_SOCKETS_MAX)
			return -E2BIG;
		int r = find(child, secret, &record);
		if (r > 0)
			r = open_value(child, &record);
		else if (r == 0)
			r = -EBADF; /* optional */
		if (r < 0 && r != -EBADF)
			return r;
		child->secret_fds[child->n_secret_fds++] = r;
	}
	return 0;
}

static int check_environment(struct child *child)
{
	struct plan_range range = child->unit->secrets;
	struct secretfile_record record;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_secret *secret =
			plan_secret(child->spawner->plan, range.first + i);
		if (secret->delivery != SECRET_ENVIRONMENT)
			continue;
		int r = find(child, secret, &record);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool has_files(const struct child *child)
{
	struct plan_range range = child->unit->secrets;

	for (uint32_t i = 0; i < range.count; i++) {
		if (plan_secret(child->spawner->plan, range.first + i)->delivery == SECRET_FILE)
			return true;
	}
	return child->unit->templates.count > 0;
}

int credentials_write(struct child *child)
{
	int parent = child->credentials_fd;

	if (child->unit->secrets.count == 0 && child->unit->templates.count == 0)
		return 0;
	int r = check_environment(child);
	if (r == 0)
		r = prepare_fds(child);
	if (r < 0 || !has_files(child))
		return r;
	if (parent < 0) {
		child->detail = "no memory here can hold files: use Secret= (the environment) or "
				"mount a tmpfs";
		return -EOPNOTSUPP;
	}
	/* Later commands of the same activation find what the first one wrote. */
	if (!child->request->is_first && faccessat(parent, child->name, F_OK, 0) == 0)
		return 0;
	return write_directory(child, parent);
}

int credentials_deliver(void *argument)
{
	struct child *child = argument;

	int r = credentials_map(child);
	if (r == 0 && has_files(child))
		r = child->credentials_fd < 0 ? -EOPNOTSUPP
					      : write_directory(child, child->credentials_fd);
	if (r == 0)
		return 0;
	event_emit(EVENT_ERROR, "secrets-not-delivered", child->name,
		   "the new files of its secrets cannot be written%s%s: %s",
		   child->detail ? ": " : "", child->detail ? child->detail : "", strerror(-r));
	return STATUS_CREDENTIALS;
}

int credentials_open_fds(struct child *child)
{
	const struct plan *plan = child->spawner->plan;
	struct plan_range range = child->unit->secrets;
	uint32_t next = 0;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_secret *secret = plan_secret(plan, range.first + i);
		if (secret->delivery != SECRET_FD)
			continue;
		int kept = child->secret_fds[next++];
		if (kept < 0)
			continue;
		int fd = fcntl(kept, F_DUPFD, 3 + (int)child->n_sockets);
		if (fd < 0)
			return -errno;
		int r = command_add_fd(child, plan_string(plan, secret->name), fd);
		if (r < 0)
			return r;
	}
	return 0;
}

void credentials_remove(const struct spawner *spawner, uint32_t unit)
{
	const char *name = plan_unit_name(spawner->plan, unit);
	char fresh[300];

	if (spawner->credentials_fd < 0 || (plan_unit(spawner->plan, unit)->secrets.count == 0 &&
					    plan_unit(spawner->plan, unit)->templates.count == 0))
		return;
	fresh_name(name, fresh, sizeof(fresh));
	(void)directory_remove(spawner->credentials_fd, name, false);
	(void)directory_remove(spawner->credentials_fd, fresh, false);
}
