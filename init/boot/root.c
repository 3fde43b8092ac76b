/*
 * The proof that the root is read-only: what the mount's flags say, and a write that must fail for
 * that reason and no other (EACCES is no proof: another uid might write).
 *
 * Where it is writable and we may, it is remounted read-only in this namespace. Where not, the
 * instance refuses to start and says how to fix it, unless the image's own configuration asked for
 * a warning alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/mountinfo.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

#define PROOF_DIRECTORY "/.holdfast-proof"
#define FIX                                                                                   \
	"run it with a read-only root (docker and podman: --read-only; Kubernetes: "          \
	"securityContext.readOnlyRootFilesystem: true; ECS: readonlyRootFilesystem), or set " \
	"ReadOnlyRoot=warn in the image's holdfast.conf"

/* Tries to write to the root. -EROFS is what we hope for; 0: it could be written. */
static int try_to_write(void)
{
	/* Leaves nothing behind: the file never gets a name (open(2), O_TMPFILE). */
	CLEANUP(fd_closep) int fd = open("/", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return -errno;
	if (mkdir(PROOF_DIRECTORY, 0700) < 0)
		return -errno;
	(void)rmdir(PROOF_DIRECTORY);
	return 0;
}

static bool is_flagged_read_only(void)
{
	struct statvfs st;

	return statvfs("/", &st) == 0 && (st.f_flag & ST_RDONLY);
}

static bool is_proven(int *ret_write)
{
	*ret_write = try_to_write();
	return is_flagged_read_only() && *ret_write == -EROFS;
}

/* A bind remount changes the flags of this mount alone; those that it has must be given again. */
static int remount(void)
{
	struct statvfs st;
	unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;

	if (statvfs("/", &st) < 0)
		return -errno;
	flags |= st.f_flag & ST_NOSUID ? MS_NOSUID : 0;
	flags |= st.f_flag & ST_NODEV ? MS_NODEV : 0;
	flags |= st.f_flag & ST_NOEXEC ? MS_NOEXEC : 0;
	flags |= st.f_flag & ST_NOATIME ? MS_NOATIME : 0;
	flags |= st.f_flag & ST_RELATIME ? MS_RELATIME : 0;
	return mount(NULL, "/", NULL, flags, NULL) < 0 ? -errno : 0;
}

static int remount_and_prove(struct boot *boot, int *ret_write)
{
	int r = remount();

	if (r < 0)
		return r;
	if (!is_proven(ret_write))
		return -EBUSY;
	boot->is_root_proven = true;
	boot_protect(boot, "root", PROTECTION_FULL, "remounted read-only, proven", "%s", "");
	return 0;
}

static int refuse(struct boot *boot, const char *found, int remount_error)
{
	return boot_fail(boot, EX_OSERR,
			 "the root is not read-only (%s) and cannot be remounted (%s): " FIX, found,
			 boot->can_mount ? strerror(-remount_error)
					 : "that needs CAP_SYS_ADMIN as PID 1 of a container");
}

/* It is not remounted either: who asks for a warning has a reason to write to it. */
static int warn(struct boot *boot, const char *found)
{
	boot_protect(boot, "root", PROTECTION_NONE, "writable",
		     "a write gave: %s; ReadOnlyRoot=warn leaves it as it is", found);
	return 0;
}

int root_prove(struct boot *boot)
{
	bool is_enforced = units_conf(boot->units)->root_must_be_read_only;
	int write, error = -EPERM;

	if (is_proven(&write)) {
		boot->is_root_proven = true;
		boot_protect(boot, "root", PROTECTION_FULL, "read-only, proven", "%s", "");
		return 0;
	}
	if (boot->can_mount && is_enforced) {
		error = remount_and_prove(boot, &write);
		if (error == 0)
			return 0;
	}
	boot->is_root_writable = true;
	const char *found = write == 0 ? "it can be written" : strerror(-write);
	return is_enforced ? refuse(boot, found, error) : warn(boot, found);
}
