#include "init/initramfs/early.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/str.h"

#define PANIC "/proc/sys/kernel/panic"
/* Long enough to be read, or for a log to leave the machine. */
#define PANIC_SECONDS "10"

const char *const early_mounts[EARLY_MOUNTS_COUNT] = {"dev", "proc", "sys", "run"};

static const struct {
	const char *path, *type;
	unsigned long flags;
	const char *options;
} mounts[EARLY_MOUNTS_COUNT] = {
	{"/dev", "devtmpfs", MS_NOSUID, "mode=0755"},
	{"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
	{"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
	{"/run", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64m,nr_inodes=16384"},
};

int early_mount(const char **ret_path)
{
	for (size_t i = 0; i < EARLY_MOUNTS_COUNT; i++) {
		*ret_path = mounts[i].path;
		if (mkdir(mounts[i].path, 0755) < 0 && errno != EEXIST)
			return -errno;
		if (mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags,
			  mounts[i].options) < 0)
			return -errno;
	}
	return 0;
}

/* Read back, and set again, by holdfast-boot: here they are for what comes before it. */
static const struct {
	const char *path, *value;
} settings[] = {
	{"/proc/sys/kernel/sysrq", "0"},
	{"/proc/sys/kernel/ctrl-alt-del", "0"},
	{"/proc/sys/kernel/modprobe", "\n"},
	/* Else the kernel drops all but ten lines of ours in five seconds. */
	{"/proc/sys/kernel/printk_devkmsg", "on"},
};

static void limit_panic(void)
{
	char text[16];

	if (io_read_file(AT_FDCWD, PANIC, text, sizeof(text)) > 0 && str_equal(text, "0\n"))
		(void)io_write_file(AT_FDCWD, PANIC, PANIC_SECONDS);
}

void early_settle(void)
{
	limit_panic();
	for (size_t i = 0; i < ARRAY_COUNT(settings); i++)
		(void)io_write_file(AT_FDCWD, settings[i].path, settings[i].value);
}
