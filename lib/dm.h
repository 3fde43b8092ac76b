#pragma once
/*
 * device-mapper devices of one target, by the ioctls of linux/dm-ioctl.h: made, loaded, and never
 * touched again.
 */
#include <stdbool.h>
#include <stdint.h>

#define DM_PATH_MAX	  32
#define DM_PARAMETERS_MAX 1024

struct dm_table {
	const char *name;	/* of the device, below 128 bytes */
	const char *target;	/* verity, crypt */
	const char *parameters; /* the target's, below DM_PARAMETERS_MAX bytes */
	uint64_t sectors;	/* of 512 bytes */
	bool is_read_only;
};

/*
 * The device's path, when it can be used. 0 or -errno; -ENODEV where the kernel has no device-mapper,
 * -EINVAL where it refuses the table (whose reason stands in the kernel's log) or has not that target.
 * Of the parameters, which may be a key, nothing is left in our memory or in the kernel's buffer. One
 * that could not be loaded is removed again.
 */
int dm_create(const struct dm_table *table, char ret_path[DM_PATH_MAX]);
