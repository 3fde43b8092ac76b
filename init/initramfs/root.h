#pragma once
/*
 * The root: found, proven by dm-verity where there is a root hash, and mounted read-only.
 */
#include <stdint.h>

#include "init/initramfs/cmdline.h"

#define ROOT_MOUNT	 "/sysroot"
#define ROOT_MESSAGE_MAX 512

/* At ROOT_MOUNT. 0, or -errno with a sentence in ret_message. deadline_us: for devices to appear. */
int root_mount(const struct cmdline *line, uint64_t deadline_us,
	       char ret_message[ROOT_MESSAGE_MAX]);
