/* TESTS: lib/secretrequest.c lib/secretreport.c lib/secretfile.c secrets/source.c secrets/run.c secrets/certificate.c secrets/collect.c secrets/hide.c lib/fingerprint.c lib/siphash.c lib/unescape.c lib/str.c lib/plan.c lib/store.c lib/fd.c lib/sys.c lib/io.c lib/clock.c lib/event.c lib/json.c */
/*
 * Any bytes as a request: refused, or items that lie inside it, as many as it says, each of which
 * survives being looked up in an environment that is the same hostile bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/secretrequest.h"
#include "secrets/run.h"
#include "secrets/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;
	struct secretrequest_item item;
	size_t cursor = 0;
	uint32_t count = 0;

	if (secretrequest_open(data, size, &run.request) < 0)
		return 0;
	run.environment = (struct run_environ){(const char *)data, size};
	(void)run_setting(&run, "AWS_REGION");
	while (secretrequest_next(&run.request, &cursor, &item)) {
		char text[256];
		struct strbuf why;
		struct secret secret = {.item = item};
		count++;
		(void)run_name_fits(&item);
		(void)run_map_name(item.reference, text, sizeof(text));
		/* What is opened by path is the kernel's to test, and reads this machine. */
		if (!str_starts(item.reference, "env:"))
			continue;
		strbuf_init(&why, text, sizeof(text));
		if (source_provider.open(&run, &secret, item.reference + 4, &why) == SECRET_OK)
			source_provider.close(&secret);
	}
	if (count != run.request.count)
		abort();
	return 0;
}
