#include "init/initramfs/verity.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"

#define DIGEST_BYTES	32
#define BLOCK_SIZE_MIN	512U
#define BLOCK_SIZE_MAX	4096U /* no larger than a page, or the kernel refuses it */
#define DATA_BLOCKS_MAX (UINT64_C(1) << 40)
#define SALT_BYTES_MAX	256U

enum {
	OFFSET_VERSION = 8,
	OFFSET_TYPE = 12,
	OFFSET_ALGORITHM = 32,
	OFFSET_DATA_BLOCK_SIZE = 64,
	OFFSET_HASH_BLOCK_SIZE = 68,
	OFFSET_DATA_BLOCKS = 72,
	OFFSET_SALT_SIZE = 80,
	OFFSET_SALT = 88,
};

static const unsigned char signature[8] = "verity\0";
static const unsigned char algorithm[32] = "sha256";

static uint64_t read_le(const unsigned char *at, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = bytes; i > 0; i--)
		value = value << 8 | at[i - 1];
	return value;
}

static void write_hex(char *to, const unsigned char *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		to[2 * i] = digits[data[i] >> 4];
		to[2 * i + 1] = digits[data[i] & 0xf];
	}
	to[2 * size] = '\0';
}

static bool is_block_size(uint64_t size)
{
	return size >= BLOCK_SIZE_MIN && size <= BLOCK_SIZE_MAX && (size & (size - 1)) == 0;
}

static const char *find_wrong(const unsigned char *block)
{
	uint64_t data_blocks = read_le(block + OFFSET_DATA_BLOCKS, 8);

	if (memcmp(block, signature, sizeof(signature)) != 0)
		return "there is no verity superblock at the hash offset";
	if (read_le(block + OFFSET_VERSION, 4) != 1)
		return "the superblock's version is not 1";
	if (read_le(block + OFFSET_TYPE, 4) != 1)
		return "the superblock's hash type is not 1";
	if (memcmp(block + OFFSET_ALGORITHM, algorithm, sizeof(algorithm)) != 0)
		return "the superblock's algorithm is not sha256";
	if (!is_block_size(read_le(block + OFFSET_DATA_BLOCK_SIZE, 4)) ||
	    !is_block_size(read_le(block + OFFSET_HASH_BLOCK_SIZE, 4)))
		return "a block size of the superblock is not a power of 2 from 512 to 4096";
	if (data_blocks == 0 || data_blocks > DATA_BLOCKS_MAX)
		return "the superblock's number of blocks is 0 or absurd";
	if (read_le(block + OFFSET_SALT_SIZE, 2) > SALT_BYTES_MAX)
		return "the superblock's salt is longer than 256 bytes";
	return NULL;
}

int verity_parse_superblock(const unsigned char block[VERITY_SUPERBLOCK_BYTES], uint64_t offset,
			    struct verity *ret_verity, const char **ret_wrong)
{
	const char *wrong = find_wrong(block);

	if (wrong) {
		*ret_wrong = wrong;
		return -EINVAL;
	}
	struct verity verity = {
		.salt = "-",
		.data_blocks = read_le(block + OFFSET_DATA_BLOCKS, 8),
		.data_block_size = (uint32_t)read_le(block + OFFSET_DATA_BLOCK_SIZE, 4),
		.hash_block_size = (uint32_t)read_le(block + OFFSET_HASH_BLOCK_SIZE, 4),
	};
	size_t salt_size = (size_t)read_le(block + OFFSET_SALT_SIZE, 2);
	if (salt_size > 0)
		write_hex(verity.salt, block + OFFSET_SALT, salt_size);
	/* The tree begins at the next whole block behind the superblock. */
	uint64_t end = offset + VERITY_SUPERBLOCK_BYTES;
	verity.hash_start = end / verity.hash_block_size + (end % verity.hash_block_size != 0);
	*ret_verity = verity;
	return 0;
}

int verity_from_words(const struct cmdline *line, struct verity *ret_verity, const char **ret_wrong)
{
	if (line->hash_offset % BLOCK_SIZE_MAX) {
		*ret_wrong = "without a superblock the hash offset is a multiple of 4096";
		return -EINVAL;
	}
	*ret_verity = (struct verity){
		.data_blocks = line->data_blocks,
		.data_block_size = BLOCK_SIZE_MAX,
		.hash_block_size = BLOCK_SIZE_MAX,
		.hash_start = line->hash_offset / BLOCK_SIZE_MAX,
	};
	(void)str_copy(ret_verity->salt, sizeof(ret_verity->salt), line->salt);
	return 0;
}

uint64_t verity_tree_blocks(const struct verity *verity)
{
	uint64_t per_block = verity->hash_block_size / DIGEST_BYTES, total = 0;

	for (uint64_t blocks = verity->data_blocks; blocks > 1;) {
		blocks = blocks / per_block + (blocks % per_block != 0);
		total += blocks;
	}
	return total;
}

int verity_check_sizes(const struct verity *verity, uint64_t data_bytes, uint64_t hash_bytes,
		       bool is_one_device, const char **ret_wrong)
{
	/* Block counts are below 2^40 and sizes at most 2^12: nothing here can overflow. */
	uint64_t data_end = verity->data_blocks * verity->data_block_size;
	uint64_t tree_start = verity->hash_start * verity->hash_block_size;
	uint64_t tree_end = tree_start + verity_tree_blocks(verity) * verity->hash_block_size;

	*ret_wrong = NULL;
	if (data_end > data_bytes)
		*ret_wrong = "the device of the root is smaller than what was hashed";
	else if (tree_end > hash_bytes)
		*ret_wrong = "the hash tree does not fit on its device";
	else if (is_one_device && tree_start < data_end)
		*ret_wrong = "the hash tree lies within the data";
	return *ret_wrong ? -EINVAL : 0;
}

int verity_parameters(const struct verity *verity, const struct cmdline *line, const char *data,
		      const char *hash, struct strbuf *buf)
{
	static const char *const policies[CORRUPTION_COUNT] = {
		[CORRUPTION_PANIC] = " 1 panic_on_corruption",
		[CORRUPTION_RESTART] = " 1 restart_on_corruption",
		[CORRUPTION_EIO] = "",
	};

	strbuf_addf(buf, "1 %s %s %u %u %llu %llu sha256 %s %s%s", data, hash,
		    verity->data_block_size, verity->hash_block_size,
		    (unsigned long long)verity->data_blocks, (unsigned long long)verity->hash_start,
		    line->root_hash, verity->salt, policies[line->corruption]);
	return buf->is_cut ? -E2BIG : 0;
}
