#pragma once
/*
 * The one device-mapper device of a boot, by the ioctls of linux/dm-ioctl.h: made read-only, loaded
 * with a verity target, and never touched again.
 */
#include <stdint.h>

#define DM_PATH_MAX 32

/*
 * parameters: verity.h. sectors: of 512 bytes. The device's path, when it can be read. 0 or -errno;
 * -ENODEV where the kernel has no device-mapper, -EINVAL where it refuses the table (whose reason
 * stands in the kernel's log).
 */
int dm_create_verity(const char *parameters, uint64_t sectors, char ret_path[DM_PATH_MAX]);
