#include "init/initramfs/root.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/fs.h>

#include "init/initramfs/verity.h"
#include "lib/cleanup.h"
#include "lib/device.h"
#include "lib/dm.h"
#include "lib/fd.h"
#include "lib/str.h"

#define SECTOR 512

struct device {
	int fd;
	uint64_t bytes;
	char number[24]; /* MAJOR:MINOR */
};

struct search {
	const struct cmdline *line;
	uint64_t deadline_us;
	char *message; /* ROOT_MESSAGE_MAX bytes */
	struct device root, hash;
	struct verity verity;
};

__attribute__((format(printf, 3, 4))) static int fail(const struct search *search, int error,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(search->message, ROOT_MESSAGE_MAX, format, args);
	va_end(args);
	return error;
}

static void search_finish(struct search *search)
{
	search->root.fd = fd_close(search->root.fd);
	search->hash.fd = fd_close(search->hash.fd);
}

static int find_device(const struct search *search, const char *spec, struct device *ret_device)
{
	int r = device_wait(spec, search->deadline_us), on = 1;

	if (r == -ETIMEDOUT)
		return fail(search, r, "%s did not appear within %u s", spec,
			    search->line->timeout_s);
	if (r < 0)
		return fail(search, r, "%s: %s", spec, strerror(-r));
	ret_device->fd = r;
	/* Whoever is root later cannot write to it by mistake: that would be a panic, not a change. */
	(void)syscall(SYS_ioctl, ret_device->fd, BLKROSET, &on);
	r = device_describe(ret_device->fd, &ret_device->bytes, ret_device->number);
	return r < 0 ? fail(search, r, "%s: %s", spec, strerror(-r)) : 0;
}

static int find_devices(struct search *search)
{
	const struct cmdline *line = search->line;
	int r = find_device(search, line->root, &search->root);

	if (r < 0 || !cmdline_is_verified(line))
		return r;
	return find_device(search, line->hash_device[0] ? line->hash_device : line->root,
			   &search->hash);
}

static int read_superblock(struct search *search, const char **ret_wrong)
{
	unsigned char block[VERITY_SUPERBLOCK_BYTES];
	uint64_t offset = search->line->hash_offset;

	ssize_t n = pread(search->hash.fd, block, sizeof(block), (off_t)offset);
	if (n != (ssize_t)sizeof(block)) {
		*ret_wrong = n < 0 ? "the superblock cannot be read"
				   : "the hash offset lies behind the end of the device";
		return -EINVAL;
	}
	return verity_parse_superblock(block, offset, &search->verity, ret_wrong);
}

static int find_parameters(struct search *search)
{
	const struct cmdline *line = search->line;
	const char *wrong;

	int r = line->salt[0] ? verity_from_words(line, &search->verity, &wrong)
			      : read_superblock(search, &wrong);
	if (r == 0)
		r = verity_check_sizes(&search->verity, search->root.bytes, search->hash.bytes,
				       str_equal(search->root.number, search->hash.number), &wrong);
	return r < 0 ? fail(search, r, "verity: %s", wrong) : 0;
}

static int make_device(const struct search *search, const char *parameters,
		       char ret_path[DM_PATH_MAX])
{
	const struct dm_table table = {
		.name = "holdfast-root",
		.target = "verity",
		.parameters = parameters,
		.sectors = search->verity.data_blocks * search->verity.data_block_size / SECTOR,
		.is_read_only = true,
	};

	return dm_create(&table, ret_path);
}

static int make_verity(struct search *search, char ret_path[DM_PATH_MAX])
{
	char parameters[VERITY_TABLE_MAX];
	struct strbuf buf;
	int r = find_parameters(search);

	if (r < 0)
		return r;
	strbuf_init(&buf, parameters, sizeof(parameters));
	r = verity_parameters(&search->verity, search->line, search->root.number,
			      search->hash.number, &buf);
	if (r == 0)
		r = make_device(search, parameters, ret_path);
	if (r == -ENODEV)
		return fail(search, r,
			    "this kernel has no device-mapper: is dm-mod.ko in /modules?");
	return r < 0 ? fail(search, r, "the kernel takes no verity table: %s", strerror(-r)) : 0;
}

static int mount_device(const struct search *search, const char *path)
{
	/* A journal that waits to be replayed would be a write. */
	static const char *const options[ROOTFS_COUNT] = {[ROOTFS_EXT4] = "noload"};
	enum cmdline_rootfs rootfs = search->line->rootfs;
	const char *name = cmdline_rootfs_names[rootfs];

	if (mkdir(ROOT_MOUNT, 0755) < 0 && errno != EEXIST)
		return fail(search, -errno, "%s: %s", ROOT_MOUNT, strerror(errno));
	if (mount(path, ROOT_MOUNT, name, MS_RDONLY | MS_NODEV | MS_NOSUID, options[rootfs]) == 0)
		return 0;
	int error = errno;
	if (error == ENODEV)
		return fail(search, -error, "this kernel has no %s: is its module in /modules?",
			    name);
	if (error == EIO)
		return fail(search, -error,
			    "the root cannot be read: damaged, or not what the root hash says");
	return fail(search, -error, "%s is no %s that can be mounted: %s", path, name,
		    strerror(error));
}

int root_mount(const struct cmdline *line, uint64_t deadline_us, char ret_message[ROOT_MESSAGE_MAX])
{
	CLEANUP(search_finish)
	struct search search = {.line = line,
				.deadline_us = deadline_us,
				.message = ret_message,
				.root.fd = -EBADF,
				.hash.fd = -EBADF};
	char path[DM_PATH_MAX], link[64];

	int r = find_devices(&search);
	if (r < 0)
		return r;
	if (cmdline_is_verified(line)) {
		r = make_verity(&search, path);
		return r < 0 ? r : mount_device(&search, path);
	}
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", search.root.fd);
	return mount_device(&search, link);
}
