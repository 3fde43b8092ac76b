#include "secrets/collect.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/secretfile.h"

/* Values, and the names that were made for what paths have. */
#define NAMES_BYTES ((size_t)COLLECT_VALUES_MAX * 1024)

int collect_init(struct collect *collect)
{
	size_t table = COLLECT_VALUES_MAX * sizeof(struct collect_value);
	size_t size = table + COLLECT_BYTES_MAX + NAMES_BYTES;

	char *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (block == MAP_FAILED)
		return -errno;
	(void)madvise(block, size, MADV_DONTDUMP);
	(void)madvise(block, size, MADV_WIPEONFORK);
	*collect = (struct collect){
		.block = block + table,
		.size = size - table,
		.values = (struct collect_value *)(void *)block,
	};
	return 0;
}

void collect_wipe(struct collect *collect)
{
	if (collect->block)
		explicit_bzero(collect->block, collect->used);
	collect->used = collect->bytes = collect->count = 0;
}

static char *take(struct collect *collect, const void *data, size_t length)
{
	char *at = collect->block + collect->used;

	if (length >= collect->size - collect->used)
		return NULL;
	/* No byte of it is read before it is needed: an empty value may come without memory. */
	if (length > 0)
		memcpy(at, data, length);
	at[length] = '\0';
	collect->used += length + 1;
	return at;
}

int collect_add(struct collect *collect, uint32_t item, const char *name, const char *source,
		const void *value, size_t length)
{
	struct collect_value fresh = {.length = (uint32_t)length, .item = item};

	if (length > COLLECT_BYTES_MAX - collect->bytes)
		return -E2BIG;
	if (collect->count == COLLECT_VALUES_MAX)
		return -ENOBUFS;
	fresh.value = take(collect, value, length);
	fresh.name = take(collect, name, strlen(name));
	if (source)
		fresh.source = take(collect, source, strlen(source));
	if (!fresh.value || !fresh.name || (source && !fresh.source))
		return -ENOBUFS;
	collect->bytes += length;
	collect->values[collect->count++] = fresh;
	return 0;
}

void collect_drop(struct collect *collect, uint32_t item)
{
	for (uint32_t i = 0; i < collect->count; i++) {
		if (collect->values[i].item == item)
			collect->values[i].value = NULL;
	}
}

/* Of two with one name: whether a gives way to b. */
static bool gives_way(const struct collect_value *a, const struct collect_value *b,
		      const bool *is_path)
{
	if (is_path[a->item] != is_path[b->item])
		return is_path[a->item];
	return a->item < b->item;
}

int collect_settle(struct collect *collect, const bool *is_path, uint32_t *ret_first,
		   uint32_t *ret_second)
{
	for (uint32_t i = 0; i < collect->count; i++) {
		struct collect_value *a = &collect->values[i];
		for (uint32_t j = i + 1; a->value && j < collect->count; j++) {
			struct collect_value *b = &collect->values[j];
			if (!b->value || strcmp(a->name, b->name) != 0)
				continue;
			if (a->item == b->item) {
				*ret_first = i;
				*ret_second = j;
				return -EEXIST;
			}
			(gives_way(a, b, is_path) ? a : b)->value = NULL;
		}
	}
	return 0;
}
