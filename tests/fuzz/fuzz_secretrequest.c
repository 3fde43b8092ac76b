/* TESTS: lib/secretrequest.c secrets/source.c lib/str.c lib/plan.c lib/store.c lib/fd.c lib/sys.c */
/*
 * Any bytes as a request: refused, or items that lie inside it, as many as it says, each of which
 * survives being looked up in an environment that is the same hostile bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/secretrequest.h"
#include "secrets/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct secretrequest request;
	struct secretrequest_item item;
	struct source_environ environment = {(const char *)data, size};
	size_t cursor = 0;
	uint32_t count = 0;

	if (secretrequest_open(data, size, &request) < 0)
		return 0;
	while (secretrequest_next(&request, &cursor, &item)) {
		char text[256];
		struct strbuf why;
		struct source source;
		count++;
		/* What is opened by path is the kernel's to test, and reads this machine. */
		if (!str_starts(item.reference, "env:"))
			continue;
		strbuf_init(&why, text, sizeof(text));
		if (source_open(&environment, &item, &source, &why) == SOURCE_OK &&
		    source.text + source.length >= (const char *)data + size)
			abort();
	}
	if (count != request.count)
		abort();
	return 0;
}
