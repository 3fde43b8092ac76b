#pragma once
/*
 * Block devices: found by /dev/NAME or by what the kernel says of a partition, waited for by its
 * uevents. No udev, and nothing is read from a disk to find it.
 */
#include <stdint.h>

#include "lib/str.h"

#define DEVICE_UEVENT_BYTES 4096

/* Pure. Of /sys/class/block/X/uevent: copies DEVNAME when a line of it is key=value. */
bool device_match(const char *uevent, const char *key, const char *value, char *ret_name,
		  size_t size);

/* Opened read-only when it is there: spec as in cmdline.h. An fd, or -errno; -ETIMEDOUT when it
 * had not appeared at deadline_us (lib/clock.h). */
int device_wait(const char *spec, uint64_t deadline_us);

/* Its size in bytes and its MAJOR:MINOR. 0 or -errno. */
int device_describe(int fd, uint64_t *ret_bytes, char ret_number[24]);
