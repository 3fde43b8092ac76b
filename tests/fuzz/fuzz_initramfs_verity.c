/* TESTS: init/initramfs/verity.c lib/str.c */
/* Any superblock, at any offset, on devices of any size: what is accepted makes a table of plain
 * words that lies within them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "init/initramfs/verity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_table(const struct verity *verity)
{
	const struct cmdline line = {.root_hash = "00", .corruption = CORRUPTION_PANIC};
	char text[VERITY_TABLE_MAX];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	require(verity_parameters(verity, &line, "254:0", "254:0", &buf) == 0);
	for (const char *at = text; *at; at++)
		require((*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9') ||
			strchr(" :-_", *at));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char block[VERITY_SUPERBLOCK_BYTES] = {0};
	uint64_t numbers[3] = {0};
	const char *wrong = NULL;
	struct verity verity;

	memcpy(block, data, size < sizeof(block) ? size : sizeof(block));
	if (size > sizeof(block))
		memcpy(numbers, data + sizeof(block),
		       size - sizeof(block) < sizeof(numbers) ? size - sizeof(block)
							      : sizeof(numbers));
	/* As far as holdfast.hashoffset= goes. */
	uint64_t offset = numbers[0] % (UINT64_C(1) << 52);
	if (verity_parse_superblock(block, offset, &verity, &wrong) < 0) {
		require(wrong != NULL);
		return 0;
	}
	require(verity.hash_start * verity.hash_block_size >= offset + VERITY_SUPERBLOCK_BYTES);
	check_table(&verity);
	if (verity_check_sizes(&verity, numbers[1], numbers[2], true, &wrong) == 0) {
		require(verity.data_blocks * verity.data_block_size <= numbers[1]);
		require(verity.hash_start * verity.hash_block_size <= numbers[2]);
	}
	return 0;
}
