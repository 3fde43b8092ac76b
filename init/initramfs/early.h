#pragma once
/*
 * The mounts of the initramfs, which move along to the real root, and the few things of the kernel
 * that must hold before anything can go wrong.
 */

/* /dev, /proc, /sys and /run: those that can be seen from here on, as paths without the slash. */
#define EARLY_MOUNTS_COUNT 4
extern const char *const early_mounts[EARLY_MOUNTS_COUNT];

/* 0, or -errno with the path that could not be mounted. */
int early_mount(const char **ret_path);

/* No key combination does anything, the kernel starts no helper of its own, and a panic that the
 * command line left to hang forever is followed by a restart. */
void early_settle(void);
