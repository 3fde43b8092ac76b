/* TESTS: gate/elf.c lib/elf.c */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gate/elf.h"

/* Any file that somebody executes: it is always one of the kinds, and read within its bounds. */
struct bytes {
	const uint8_t *data;
	size_t size, n_reads;
};

static ssize_t read_bytes(void *from, void *data, size_t size, uint64_t offset)
{
	struct bytes *bytes = from;

	if (offset > INT64_MAX || ++bytes->n_reads > 1000)
		abort();
	if (offset >= bytes->size)
		return 0;
	if (size > bytes->size - offset)
		size = bytes->size - offset;
	memcpy(data, bytes->data + offset, size);
	return (ssize_t)size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes bytes = {data, size, 0};
	enum elf_kind kind = elf_inspect(read_bytes, &bytes);

	if (kind > ELF_LOADER || (size < 52 && kind != ELF_NONE))
		abort();
	return 0;
}
