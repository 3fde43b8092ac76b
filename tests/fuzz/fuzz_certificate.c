/* TESTS: secrets/certificate.c */
/* Any value: the first end in it is the same however often it stands there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char between[] = "\n#\n"; /* no block goes on behind it */
	size_t both = 2 * size + sizeof(between) - 1;
	int64_t end = certificate_expiry((const char *)data, size);
	char *twice = malloc(both);

	if (!twice || end < 0)
		abort();
	memcpy(twice, data, size);
	memcpy(twice + size, between, sizeof(between) - 1);
	memcpy(twice + size + sizeof(between) - 1, data, size);
	if (certificate_expiry(twice, both) != end)
		abort();
	free(twice);
	return 0;
}
