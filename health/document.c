#include "health/document.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/cleanup.h"

int document_init(struct document *document, size_t bound)
{
	*document = (struct document){0};
	for (size_t i = 0; i < ARRAY_COUNT(document->renderings); i++) {
		char *data = mmap(NULL, bound, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (data == MAP_FAILED)
			return -errno;
		document->renderings[i].buf = (struct strbuf){.data = data, .size = bound};
	}
	return 0;
}

struct rendering *document_current(struct document *document, const struct snapshot_key *key)
{
	if (!document->is_valid || memcmp(&document->key, key, sizeof(*key)) != 0)
		return NULL;
	return &document->renderings[document->current];
}

struct rendering *document_spare(struct document *document)
{
	unsigned spare = document->renderings[document->current].users == 0 ? document->current
									    : 1 - document->current;

	document->current = spare;
	document->is_valid = false;
	return &document->renderings[spare];
}

void document_publish(struct document *document, const struct snapshot_key *key)
{
	document->is_valid = key != NULL;
	if (key)
		document->key = *key;
}
