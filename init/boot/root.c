/*
 * The proof that the root is read-only: what the mount's flags say, and a write that must fail for
 * that reason and no other (EACCES is no proof: another uid might write).
 *
 * Where it is writable and we may, it is remounted read-only in this namespace. Where not, the
 * instance refuses to start and says how to fix it, unless the image's own configuration asked for
 * less: that its content is kept from the services by Landlock (ReadOnlyRoot=content), or for a
 * warning alone. The first is not read-only: owners, modes, times and extended attributes of what a
 * service's user owns can be changed, and whoever is not held (a command with +) can write.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <linux/capability.h>

#include "init/boot/boot.h"
#include "lib/mountinfo.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/landlock.h"
#include "lib/str.h"

#define TRUNCATE_VERSION 3 /* of Landlock: before, content could be cut off */
#define PROOF_DIRECTORY	 "/.holdfast-proof"
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

/* A service that could write all the same, and why; NULL: there is none. */
static const char *find_free(const struct boot *boot, const char **ret_why)
{
	bool always =
		boot->has_no_new_privs || (boot->capabilities & (UINT64_C(1) << CAP_SYS_ADMIN));

	for (uint32_t i = 0; i < plan_unit_count(&boot->plan); i++) {
		const struct plan_unit *unit = plan_unit(&boot->plan, i);
		bool is_free = unit->sandbox == UNIT_SANDBOX_NONE;
		*ret_why = is_free ? "Sandbox=none" : "no NoNewPrivileges=, no CAP_SYS_ADMIN";
		if (unit->kind == UNIT_SERVICE &&
		    (is_free || !(always || (unit->flags & UNIT_NO_NEW_PRIVILEGES))))
			return plan_string(&boot->plan, unit->name);
	}
	return NULL;
}

static int keep_content(struct boot *boot, const char *found)
{
	const char *why, *unit = find_free(boot, &why);

	if (landlock_version() < TRUNCATE_VERSION)
		return boot_fail(boot, EX_OSERR,
				 "the root is not read-only (%s), and Landlock cannot keep its "
				 "content from the services (Linux 6.2 can): " FIX,
				 found);
	if (unit)
		return boot_fail(boot, EX_OSERR,
				 "the root is not read-only (%s), and its content cannot be kept "
				 "from %s (%s): " FIX,
				 found, unit, why);
	boot->is_content_kept = true;
	boot_protect(boot, "root", PROTECTION_REDUCED, "content only",
		     "a write gave: %s; services cannot write to it (Landlock), but change owners, "
		     "modes and times of what their users own",
		     found);
	return 0;
}

static bool is_writable_beside(const struct mountinfo_entry *entry,
			       const struct mountinfo_entry *root)
{
	return entry->is_writable && (entry->major != root->major || entry->minor != root->minor);
}

/* The mounts of others than the root's own file system. */
int root_list_writable(struct boot *boot)
{
	struct mountinfo info;
	size_t n = 0;

	if (!boot->is_content_kept)
		return 0;
	if (mountinfo_read(&info) < 0)
		return boot_fail(boot, EX_SOFTWARE, "cannot read /proc/self/mountinfo");
	const struct mountinfo_entry *root = mountinfo_find(&info, "/");
	boot->writable_mounts = calloc(info.count + 1, sizeof(*boot->writable_mounts));
	for (size_t i = 0; i < info.count && boot->writable_mounts && root; i++) {
		if (is_writable_beside(&info.entries[i], root))
			boot->writable_mounts[n++] = strdup(info.entries[i].point);
	}
	mountinfo_finish(&info);
	return n > 0 ? 0 : boot_fail(boot, EX_SOFTWARE, "nothing but the root can be written");
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
	if (is_enforced && units_conf(boot->units)->root_content_will_do)
		return keep_content(boot, found);
	return is_enforced ? refuse(boot, found, error) : warn(boot, found);
}
