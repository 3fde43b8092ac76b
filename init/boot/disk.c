/*
 * Scratch on a disk of the machine's that nobody keeps (an instance store): [Scratch] PATH=device=…
 *
 * It is made anew at each boot. Between the disk and its file system lies dm-crypt, with a key that is
 * drawn here and that nobody has afterwards but the kernel: what the last instance wrote, or what this
 * one leaves, can be read by no one. Where the kernel has no dm-crypt that is said, and the file system
 * is new all the same. mke2fs of the image's own e2fsprogs makes it, ext4 without a journal, since
 * nothing has to outlive a crash.
 *
 * Whatever is on the disk is gone. So the disk is opened for us alone: one that is mounted, or below
 * the root, is refused by the kernel; and a volume of EBS, which keeps what is written, by its name.
 */
#include "init/boot/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/device.h"
#include "lib/dm.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/str.h"
#include "lib/sys.h"

#define MKE2FS		  "/usr/sbin/mke2fs"
#define CIPHER		  "aes-xts-plain64"
#define KEY_BYTES	  64 /* two keys of AES-256 */
#define SECTOR		  512
#define BLOCK		  4096
#define KEPT_MODEL	  "Amazon Elastic Block Store"
#define DEVICE_TIMEOUT_US (20 * USEC_PER_SEC)
#define MKE2FS_TIMEOUT_US (60 * USEC_PER_SEC)

struct disk {
	struct boot *boot;
	const struct plan_scratch *scratch;
	const char *spec, *point;
	char number[24];
	uint64_t bytes;
	char path[DM_PATH_MAX + 64]; /* what the file system lies on */
};

static int fail(const struct disk *disk, const char *what, const char *why)
{
	return boot_fail(disk->boot, EX_OSERR, "[Scratch] %s: %s: %s%s%s", disk->point, disk->spec,
			 what, *why ? ": " : "", why);
}

/* ---- the disk */

static bool is_kept(const char *number)
{
	/* Of a disk, and of a partition's disk. */
	static const char *const files[] = {"device/model", "../device/model"};
	char path[96], model[128];

	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		(void)snprintf(path, sizeof(path), "/sys/dev/block/%s/%s", number, files[i]);
		if (io_read_file(AT_FDCWD, path, model, sizeof(model)) > 0 &&
		    str_starts(model, KEPT_MODEL))
			return true;
	}
	return false;
}

/* For us alone (open(2): O_EXCL of a block device), by the file that device_wait found. */
static int open_alone(int found)
{
	char link[32];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", found);
	int fd = open(link, O_RDWR | O_EXCL | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int find(struct disk *disk)
{
	CLEANUP(fd_closep) int found = device_wait(disk->spec, clock_now_us() + DEVICE_TIMEOUT_US);

	if (found == -ETIMEDOUT)
		return fail(disk, "it did not appear within 20 s", "");
	int r = found < 0 ? found : device_describe(found, &disk->bytes, disk->number);
	if (r < 0)
		return fail(disk, "cannot be opened", strerror(-r));
	if (is_kept(disk->number))
		return fail(disk, "this is a volume of EBS, which keeps what is on it",
			    "only disks that nobody keeps are made anew");
	CLEANUP(fd_closep) int alone = open_alone(found);
	if (alone < 0)
		return fail(disk, "it cannot be had alone", strerror(-alone));
	uint64_t wanted = disk->scratch->size_bytes / BLOCK * BLOCK;
	if (wanted > disk->bytes)
		return fail(disk, "it is smaller than size=", "");
	disk->bytes = (wanted ? wanted : disk->bytes) / BLOCK * BLOCK;
	(void)snprintf(disk->path, sizeof(disk->path), "/dev/block-%s", disk->number);
	return 0;
}

/* ---- the key */

static int draw_key(char hex[2 * KEY_BYTES + 1])
{
	unsigned char key[KEY_BYTES];

	/* It waits until the kernel has randomness. */
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return -EIO;
	for (size_t i = 0; i < sizeof(key); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", key[i]);
	explicit_bzero(key, sizeof(key));
	return 0;
}

static int map_with_key(struct disk *disk)
{
	char hex[2 * KEY_BYTES + 1], parameters[DM_PARAMETERS_MAX], name[64];
	const struct dm_table table = {
		.name = name,
		.target = "crypt",
		.parameters = parameters,
		.sectors = disk->bytes / SECTOR,
	};
	int r = draw_key(hex);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "holdfast-scratch-%s", disk->number);
	(void)snprintf(parameters, sizeof(parameters), CIPHER " %s 0 %s 0 1 allow_discards", hex,
		       disk->number);
	r = dm_create(&table, disk->path);
	explicit_bzero(hex, sizeof(hex));
	explicit_bzero(parameters, sizeof(parameters));
	return r;
}

/* A node of our own: what a partition is called need not be what it was found by. */
static int make_node(struct disk *disk)
{
	unsigned major_number, minor_number;

	if (sscanf(disk->number, "%u:%u", &major_number, &minor_number) != 2)
		return -EINVAL;
	if (mknod(disk->path, S_IFBLK | 0600, makedev(major_number, minor_number)) < 0 &&
	    errno != EEXIST)
		return -errno;
	return 0;
}

/* ---- the file system */

static _Noreturn void run_mke2fs(const struct disk *disk)
{
	char blocks[24], inodes[24];
	const char *argv[] = {MKE2FS,
			      "-q",
			      "-F",
			      "-t",
			      "ext4",
			      "-b",
			      "4096",
			      "-m",
			      "0",
			      "-O",
			      "^has_journal,^resize_inode",
			      "-E",
			      "nodiscard,lazy_itable_init=1",
			      "-N",
			      inodes,
			      disk->path,
			      blocks,
			      NULL};
	const char *envp[] = {NULL};
	uint64_t n_inodes = disk->scratch->nr_inodes;

	(void)snprintf(blocks, sizeof(blocks), "%" PRIu64, disk->bytes / BLOCK);
	/* mke2fs's own ratio. */
	(void)snprintf(inodes, sizeof(inodes), "%" PRIu64,
		       n_inodes ? n_inodes : MAX(disk->bytes / (4 * BLOCK), UINT64_C(64)));
	(void)dup2(STDERR_FILENO, STDOUT_FILENO);
	(void)execve(MKE2FS, (char *const *)argv, (char *const *)envp);
	_exit(127);
}

static int make_file_system(struct disk *disk)
{
	int status;

	if (access(MKE2FS, X_OK) < 0)
		return fail(disk, "there is no " MKE2FS " in the image",
			    "add it, of the package e2fsprogs");
	pid_t pid = fork();
	if (pid == 0)
		run_mke2fs(disk);
	if (pid < 0)
		return fail(disk, "cannot start mke2fs", strerror(errno));
	CLEANUP(fd_closep) int pidfd = sys_pidfd_open(pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	if (poll(&p, 1, clock_poll_ms(clock_now_us() + MKE2FS_TIMEOUT_US)) == 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return fail(disk, WIFSIGNALED(status) ? "mke2fs took too long" : "mke2fs failed", "");
}

static int mount_it(const struct disk *disk)
{
	char lost[BOOT_PATH_MAX + 16];
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOATIME |
			      (disk->scratch->flags & SCRATCH_EXEC ? 0 : MS_NOEXEC);

	if (mount(disk->path, disk->point, "ext4", flags, NULL) < 0)
		return fail(disk, "cannot be mounted", strerror(errno));
	(void)snprintf(lost, sizeof(lost), "%s/lost+found", disk->point);
	(void)rmdir(lost);
	if (chmod(disk->point, (mode_t)disk->scratch->mode) < 0)
		return fail(disk, "cannot be given its mode", strerror(errno));
	return 0;
}

int disk_mount(struct boot *boot, const struct plan_scratch *scratch, bool *ret_is_encrypted)
{
	struct disk disk = {.boot = boot,
			    .scratch = scratch,
			    .spec = plan_string(&boot->plan, scratch->device),
			    .point = plan_string(&boot->plan, scratch->path)};
	int status = find(&disk);

	if (status != 0)
		return status;
	int r = map_with_key(&disk);
	bool is_encrypted = r == 0;
	if (r == -ENODEV || r == -EINVAL)
		r = make_node(&disk);
	if (r < 0)
		return fail(&disk, "cannot be made a disk of our own", strerror(-r));
	status = make_file_system(&disk);
	if (status == 0)
		status = mount_it(&disk);
	if (status != 0)
		return status;
	*ret_is_encrypted = is_encrypted;
	event_with_string("device", disk.spec);
	event_with_i64("bytes", (int64_t)disk.bytes);
	event_emit(EVENT_INFO, "scratch-disk", NULL, "[Scratch] %s is on %s, made anew%s",
		   disk.point, disk.spec,
		   is_encrypted ? ", with a key that is forgotten" : ", not encrypted");
	return 0;
}
