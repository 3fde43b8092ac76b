/*
 * Scratch: the memory that may be written, as [Scratch] declares it. The ladder: a tmpfs of our
 * own, with exactly the size, mode and flags that are asked for, and with the folders that the image
 * has there (skeleton.c); else a mount that the runtime put at that path, whose size is looked at;
 * else the instance refuses, and prints the lines that give it one. What was mounted is read back,
 * as a mount option that a kernel ignores bounds nothing.
 */
#include "init/boot/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "init/boot/disk.h"
#include "lib/mountinfo.h"
#include "init/boot/skeleton.h"
#include "init/boot/tree.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/str.h"

#define NO_MOUNT "there is no mount, and making one needs CAP_SYS_ADMIN as PID 1 of a container"

/* How the scratch paths came out, worst first in the end. */
struct tally {
	size_t n_own, n_runtime, n_directory, n_disk, n_plain;
};

static uint64_t round_to_page(uint64_t bytes)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static uint64_t capacity_of(const struct statvfs *st)
{
	return (uint64_t)st->f_blocks * st->f_frsize;
}

/* "64Mi", "512Ki", "1000": as Kubernetes reads sizes, and, without the i, Docker. */
static void add_size(struct strbuf *buf, uint64_t bytes, const char *suffix)
{
	static const char units[] = "KMG";
	int unit = -1;

	while (bytes > 0 && bytes % 1024 == 0 && unit < 2) {
		bytes /= 1024;
		unit++;
	}
	strbuf_addf(buf, "%" PRIu64, bytes);
	if (unit >= 0)
		strbuf_addf(buf, "%c%s", units[unit], suffix);
}

/* A name for a Kubernetes volume: /var/log/nginx -> var-log-nginx (RFC 1123 label). */
static void add_volume_name(struct strbuf *buf, const char *path)
{
	for (const char *at = path + 1; *at; at++) {
		bool is_plain = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9');
		strbuf_add(buf, is_plain ? at : "-", 1);
	}
}

void scratch_explain(struct strbuf *buf, const char *path, uint64_t size_bytes, unsigned mode)
{
	strbuf_adds(buf, "Kubernetes: volumeMounts: [{name: ");
	add_volume_name(buf, path);
	strbuf_addf(buf, ", mountPath: %s}], volumes: [{name: ", path);
	add_volume_name(buf, path);
	strbuf_adds(buf, ", emptyDir: {medium: Memory");
	if (size_bytes > 0) {
		strbuf_adds(buf, ", sizeLimit: ");
		add_size(buf, size_bytes, "i");
	}
	strbuf_addf(buf, "}}]; docker, podman: --tmpfs %s:", path);
	if (size_bytes > 0) {
		strbuf_adds(buf, "size=");
		add_size(buf, size_bytes, "");
		strbuf_addc(buf, ',');
	}
	/* What a runtime mounts is root's, and podman knows no uid= to change that. */
	strbuf_addf(buf, "mode=%04o", geteuid() == 0 ? mode : 01777U);
}

/* The declared one, else that of what is there: /tmp is of no use with another. */
static unsigned mode_wanted(const struct plan_scratch *scratch, const char *path)
{
	struct stat st;

	if ((scratch->flags & SCRATCH_OWN_MODE) || stat(path, &st) < 0)
		return scratch->mode;
	return st.st_mode & 07777;
}

static int refuse(struct boot *boot, const struct plan_scratch *scratch, const char *reason)
{
	const char *path = plan_string(&boot->plan, scratch->path);
	char text[PROTO_TEXT_MAX];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	strbuf_addf(&buf, "[Scratch] %s: %s; give it one: ", path, reason);
	scratch_explain(&buf, path, scratch->size_bytes, mode_wanted(scratch, path));
	return boot_fail(boot, EX_OSERR, "%s", text);
}

static int refuse_unwritable(struct boot *boot, const struct plan_scratch *scratch, int error)
{
	char reason[128];

	(void)snprintf(reason, sizeof(reason), "uid %u cannot write the runtime's mount there: %s",
		       geteuid(), strerror(error));
	return refuse(boot, scratch, reason);
}

/* Whether what is mounted at path has the bounds that were asked for. */
static bool is_as_asked(const char *path, const struct plan_scratch *scratch)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0 || !(st.f_flag & ST_NOSUID) || !(st.f_flag & ST_NODEV))
		return false;
	if (!(scratch->flags & SCRATCH_EXEC) && !(st.f_flag & ST_NOEXEC))
		return false;
	if (scratch->nr_inodes > 0 && st.f_files != scratch->nr_inodes)
		return false;
	return scratch->size_bytes == 0 || capacity_of(&st) == round_to_page(scratch->size_bytes);
}

/* The memory that is mounted at path now begins with what folders image, the directory that it
 * hides, has. */
static int fill(const char *path, int image, const struct plan_scratch *scratch)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = skeleton_copy(image, fd);
	if (r == 0 && (scratch->flags & SCRATCH_OWN_MODE) && fchmod(fd, (mode_t)scratch->mode) < 0)
		r = -errno;
	return r;
}

/* 1: mounted. 0: mounting is not for us here. Negative: -errno. */
static int mount_own(const char *path, const struct plan_scratch *scratch)
{
	CLEANUP(fd_closep) int image = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct tmpfs tmpfs = {
		.size_bytes = scratch->size_bytes,
		.nr_inodes = scratch->nr_inodes,
		.mode = scratch->mode,
		.flags = MS_NODEV | (scratch->flags & SCRATCH_EXEC ? 0 : MS_NOEXEC) |
			 (scratch->flags & SCRATCH_READ_ONLY ? MS_RDONLY : 0),
	};

	if (image < 0)
		return -errno;
	int r = tree_mount_tmpfs(path, &tmpfs);
	if (tree_is_refusal(r))
		return 0;
	if (r == 0 && !(scratch->flags & SCRATCH_READ_ONLY))
		r = fill(path, image, scratch);
	if (r < 0)
		return r;
	return is_as_asked(path, scratch) ? 1 : -EIO;
}

/* The runtime's mount there, or 0 when there is none. Returns an exit status or 0. */
static int use_runtime_mount(struct boot *boot, const struct plan_scratch *scratch,
			     struct tally *tally)
{
	const char *path = plan_string(&boot->plan, scratch->path);
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return refuse(boot, scratch, strerror(errno));
	if (st.f_flag & ST_RDONLY)
		return refuse(boot, scratch, "the runtime's mount there is read-only");
	if (access(path, W_OK) < 0)
		return refuse_unwritable(boot, scratch, errno);
	if (scratch->size_bytes > 0 && capacity_of(&st) > round_to_page(scratch->size_bytes))
		return refuse(boot, scratch, "the runtime's mount there is larger than size=");
	if (scratch->size_bytes > 0 && capacity_of(&st) < scratch->size_bytes)
		event_emit(EVENT_WARNING, "scratch-smaller", NULL,
			   "[Scratch] %s: the runtime's mount has %" PRIu64
			   " bytes, less than the %" PRIu64 " that are asked for",
			   path, capacity_of(&st), scratch->size_bytes);
	tally->n_runtime++;
	return 0;
}

static bool is_mounted(const char *path)
{
	struct mountinfo info;

	if (mountinfo_read(&info) < 0)
		return false;
	bool found = mountinfo_find(&info, path) != NULL;
	mountinfo_finish(&info);
	return found;
}

/* A runtime that mounts something there makes the directory, too. */
static int refuse_directory(struct boot *boot, const struct plan_scratch *scratch)
{
	if (!boot->can_mount)
		return refuse(boot, scratch, NO_MOUNT);
	return boot_fail(boot, EX_OSERR,
			 "[Scratch] %s: the image has no directory there to mount on; add an empty "
			 "one to the image",
			 plan_string(&boot->plan, scratch->path));
}

static const char *explain_failure(int error)
{
	switch (-error) {
	case EIO: return "the kernel did not give it the bounds asked for";
	case ENOSPC:
		return "the folders that the image has there need more than size= or nr_inodes=";
	case E2BIG:
		return "the image has more than 4096 folders there, or more than 32 levels of them";
	default: return strerror(-error);
	}
}

static int provide_disk(struct boot *boot, const struct plan_scratch *scratch, struct tally *tally)
{
	const char *path = plan_string(&boot->plan, scratch->path);
	CLEANUP(fd_closep) int image = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool is_encrypted = false;

	int status = disk_mount(boot, scratch, &is_encrypted);
	if (status != 0)
		return status;
	int r = image < 0 ? -errno : fill(path, image, scratch);
	if (r < 0)
		return boot_fail(boot, EX_OSERR, "[Scratch] %s: %s", path, explain_failure(r));
	tally->n_disk++;
	tally->n_plain += !is_encrypted;
	return 0;
}

static int provide(struct boot *boot, const struct plan_scratch *scratch, struct tally *tally)
{
	const char *path = plan_string(&boot->plan, scratch->path);

	if (!tree_is_directory(path) && tree_make(path, scratch->mode) < 0)
		return refuse_directory(boot, scratch);
	if (*plan_string(&boot->plan, scratch->device))
		return provide_disk(boot, scratch, tally);
	int r = boot->can_mount ? mount_own(path, scratch) : 0;
	if (r < 0)
		return boot_fail(boot, EX_OSERR, "[Scratch] %s: cannot mount a tmpfs: %s", path,
				 explain_failure(r));
	if (r > 0) {
		tally->n_own++;
		return 0;
	}
	if (is_mounted(path))
		return use_runtime_mount(boot, scratch, tally);
	if (boot->is_root_writable && access(path, W_OK) == 0) {
		tally->n_directory++;
		return 0;
	}
	return refuse(boot, scratch, NO_MOUNT);
}

static void report(struct boot *boot, const struct tally *tally)
{
	if (tally->n_directory > 0)
		boot_protect(boot, "scratch", PROTECTION_NONE, "directories on the writable root",
			     "%zu of them are bounded by nothing (ReadOnlyRoot=warn)",
			     tally->n_directory);
	else if (tally->n_runtime > 0)
		boot_protect(boot, "scratch", PROTECTION_REDUCED, "the runtime's mounts",
			     "%zu of them keep the flags that the runtime chose: mounting needs "
			     "CAP_SYS_ADMIN as PID 1 of a container",
			     tally->n_runtime);
	else if (tally->n_plain > 0)
		boot_protect(boot, "scratch", PROTECTION_REDUCED, "disks made anew, own tmpfs",
			     "%zu of them without a key: this kernel has no dm-crypt with aes-xts",
			     tally->n_plain);
	else if (tally->n_disk > 0)
		boot_protect(boot, "scratch", PROTECTION_FULL,
			     "disks made anew with a key that is forgotten, own tmpfs", "%s", "");
	else if (tally->n_own > 0)
		boot_protect(boot, "scratch", PROTECTION_FULL, "own tmpfs, read back", "%s", "");
	else
		boot_protect(boot, "scratch", PROTECTION_FULL, "none declared", "%s", "");
}

int scratch_mount(struct boot *boot)
{
	struct plan_range range = boot->plan.header->scratch;
	struct tally tally = {0};

	for (uint32_t i = 0; i < range.count; i++) {
		int status = provide(boot, plan_scratch(&boot->plan, range.first + i), &tally);
		if (status != 0)
			return status;
	}
	report(boot, &tally);
	return 0;
}
