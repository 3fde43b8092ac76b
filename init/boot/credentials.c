/*
 * Memory for files with secrets, which must not reach a disk: not as files, and not by swap. The
 * ladder: a noswap tmpfs or a ramfs of our own; memory that the runtime mounted, which may swap;
 * none, and then secrets reach their services by environment and fd alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "init/boot/tree.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"

#define FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)
/* Units find their own directory below it by name, and no other: nothing can be listed. */
#define MODE 0711

/* In this order: noswap (Linux 6.4) is bounded as well, ramfs has no bound. */
static const struct {
	const char *type, *options, *rung;
} kinds[] = {
	{"tmpfs", "noswap,mode=0711,size=16m,nr_inodes=8192", "own tmpfs, noswap"},
	{"ramfs", "mode=0711", "own ramfs"},
};

static const char *mount_own(const struct boot *boot, int *ret_error)
{
	*ret_error = -EPERM;
	for (size_t i = 0; i < ARRAY_COUNT(kinds) && boot->can_mount; i++) {
		if (mount(kinds[i].type, boot->credentials_directory, kinds[i].type, FLAGS,
			  kinds[i].options) == 0)
			return kinds[i].rung;
		*ret_error = -errno;
	}
	return NULL;
}

/* /proc/swaps has a line of headings, then one for each area (proc_swaps(5)). */
static bool has_swap(void)
{
	char text[4096];
	ssize_t n = io_read_file(AT_FDCWD, "/proc/swaps", text, sizeof(text));
	const char *newline = n < 0 ? NULL : strchr(text, '\n');

	return n == -EFBIG || (newline && newline[1]);
}

/* Below parent, if that is memory. */
static bool use_directory(struct boot *boot, const char *parent, const char *name)
{
	struct strbuf path;

	if (!parent[0] || !tree_is_memory(parent))
		return false;
	strbuf_init(&path, boot->credentials_directory, sizeof(boot->credentials_directory));
	strbuf_addf(&path, "%s/%s", parent, name);
	return tree_own(boot->credentials_directory, MODE) == 0;
}

static bool find_place(struct boot *boot)
{
	char name[48] = "holdfast-credentials";

	if (!boot->is_pid1)
		(void)snprintf(name, sizeof(name), "holdfast-credentials.%d", getppid());
	return use_directory(boot, boot->run_directory, "credentials") ||
	       use_directory(boot, "/dev/shm", name);
}

static int put(struct boot *boot)
{
	CLEANUP(fd_closep)
	int fd = open(boot->credentials_directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return boot_fail(boot, EX_OSERR, "cannot open %s: %s", boot->credentials_directory,
				 strerror(errno));
	return boot_put(boot, STORE_CREDENTIALS, 0, fd);
}

int credentials_prepare(struct boot *boot)
{
	int error;

	if (!find_place(boot)) {
		boot->credentials_directory[0] = '\0';
		boot_protect(boot, "secrets-memory", PROTECTION_NONE, "no files",
			     "neither %s nor /dev/shm is memory that can be written: secrets reach "
			     "services by environment and fd alone",
			     boot->run_directory[0] ? boot->run_directory : "/run");
		return 0;
	}
	const char *rung = mount_own(boot, &error);
	if (rung)
		boot_protect(boot, "secrets-memory", PROTECTION_FULL, rung, "%s", "");
	else
		boot_protect(boot, "secrets-memory", PROTECTION_REDUCED, "the runtime's tmpfs",
			     "%s; mounting one that cannot swap: %s",
			     has_swap() ? "it may swap" : "there is no swap now", strerror(-error));
	return put(boot);
}
