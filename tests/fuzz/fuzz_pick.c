/* TESTS: secrets/pick.c secrets/decode.c secrets/secmem.c lib/json.c lib/str.c lib/clock.c */
/* LDFLAGS: -lcjson -lcrypto */
/* Any user data: what is found under a key is text of that length, and stands in what was given. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secrets/decode.h"
#include "secrets/pick.h"
#include "secrets/secmem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	size_t length = 0;

	decode_init();
	char *value = pick_value(text, size, "K", &length);
	if (value) {
		if (value[length] != '\0' || length > size)
			abort();
		if (!decode_check(text, size, NULL) && length > 0 &&
		    !memmem(text, size, value, length))
			abort();
		secmem_free(value);
	}
	return 0;
}
