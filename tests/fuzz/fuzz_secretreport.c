/* TESTS: lib/secretreport.c lib/io.c lib/fd.c lib/sys.c */
/*
 * Any bytes as a helper's report: refused, or one whose every text ends within it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/secretreport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct secretreport report;
	uint32_t count = 0;

	if (size > sizeof(report))
		return 0;
	if (size >= offsetof(struct secretreport, items))
		count = (uint32_t)((size - offsetof(struct secretreport, items)) /
				   sizeof(report.items[0]));
	if (secretreport_check(data, size, count) < 0)
		return 0;
	memcpy(&report, data, size);
	for (uint32_t i = 0; i < report.count; i++) {
		if (strnlen(report.items[i].version, SECRETREPORT_VERSION_MAX) ==
		    SECRETREPORT_VERSION_MAX)
			abort();
	}
	return 0;
}
