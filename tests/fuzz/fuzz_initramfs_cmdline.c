/* TESTS: init/initramfs/cmdline.c lib/str.c */
/*
 * Any two command lines, what is built in and what the kernel was given, split at the first NUL.
 * What is accepted is in range, was allowed by the built-in one, and has a root that is proven or
 * may be unproven.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "init/initramfs/cmdline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct cmdline *line)
{
	require(line->root[0] && strlen(line->root) < CMDLINE_DEVICE_MAX);
	require(!strstr(line->root, "..") || strncmp(line->root, "/dev/.", 6) != 0);
	require(line->corruption < CORRUPTION_COUNT && line->rootfs < ROOTFS_COUNT);
	require(line->failed_boot < MACHINE_HALT);
	require(line->timeout_s >= 1 && line->timeout_s <= 600);
	require(cmdline_is_verified(line) || (line->allowed & (1U << ALLOW_UNVERIFIED)));
	require(line->corruption != CORRUPTION_EIO || (line->allowed & (1U << ALLOW_EIO)));
	require(line->hash_offset % 512 == 0);
	require(!cmdline_is_verified(line) || strlen(line->root_hash) == CMDLINE_HASH_HEX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 2), message[CMDLINE_MESSAGE_MAX] = "";
	struct cmdline line;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = text[size + 1] = '\0';
	cmdline_init(&line);
	int r = cmdline_add(&line, text, CMDLINE_BUILT_IN, message);
	uint32_t allowed = line.allowed;
	if (r == 0 && strlen(text) < size)
		r = cmdline_add(&line, text + strlen(text) + 1, CMDLINE_KERNEL, message);
	require(line.allowed == allowed);
	if (r == 0)
		r = cmdline_check(&line, message);
	if (r == 0)
		check(&line);
	else
		require(strnlen(message, sizeof(message)) > 0 &&
			strnlen(message, sizeof(message)) < sizeof(message));
	free(text);
	return 0;
}
