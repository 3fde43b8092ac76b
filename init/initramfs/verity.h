#pragma once
/*
 * What dm-verity must be told, from the command line or from a superblock that lies on the disk.
 * Pure. The superblock is not signed and needs no trust: whatever it says, only content that the
 * root hash proves is ever read. It is bounded here so that nothing absurd reaches the kernel, and
 * so that a damaged one is told by name.
 *
 * The layout is cryptsetup's (lib/verity/verity.c): 512 bytes, integers little-endian.
 */
#include <stddef.h>
#include <stdint.h>

#include "init/initramfs/cmdline.h"
#include "lib/str.h"

#define VERITY_SUPERBLOCK_BYTES 512
#define VERITY_TABLE_MAX	1024 /* DM_PARAMETERS_MAX */

struct verity {
	char salt[CMDLINE_SALT_HEX + 1]; /* hex, "-" for none */
	uint64_t data_blocks;
	uint64_t hash_start; /* in hash blocks from the start of the hash device */
	uint32_t data_block_size, hash_block_size;
};

/* 0, or -EINVAL with what is wrong with it (static text). offset: where it lies, in bytes. */
int verity_parse_superblock(const unsigned char block[VERITY_SUPERBLOCK_BYTES], uint64_t offset,
			    struct verity *ret_verity, const char **ret_wrong);

/* From words alone: salt, number of blocks, and where the tree begins. As above. */
int verity_from_words(const struct cmdline *line, struct verity *ret_verity,
		      const char **ret_wrong);

/* Blocks of the tree over data_blocks, its levels of SHA-256 digests up to one block. */
uint64_t verity_tree_blocks(const struct verity *verity);

/*
 * Whether data and tree lie within their devices, and where both are one, apart (data_bytes is
 * then hash_bytes). 0, or -EINVAL with what is wrong.
 */
int verity_check_sizes(const struct verity *verity, uint64_t data_bytes, uint64_t hash_bytes,
		       bool is_one_device, const char **ret_wrong);

/* The parameters of the table's one target (Documentation/admin-guide/device-mapper/verity.rst):
 * devices as MAJOR:MINOR. 0, or -E2BIG. */
int verity_parameters(const struct verity *verity, const struct cmdline *line, const char *data,
		      const char *hash, struct strbuf *buf);
