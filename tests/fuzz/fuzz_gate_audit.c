/* TESTS: gate/audit.c */
/*
 * A record of the kernel's audit, in whose comm and exe a process has a hand, and in whose text a process
 * that may configure networks has all.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gate/audit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_refusal refusal;
	char *text = malloc(size + 1);

	/* No byte behind it is looked at. */
	memcpy(text, data, size);
	text = realloc(text, size ? size : 1);
	if (audit_parse(text, size, &refusal) == 0 &&
	    (refusal.pid < 0 ||
	     strnlen(refusal.comm, sizeof(refusal.comm)) == sizeof(refusal.comm) ||
	     strnlen(refusal.exe, sizeof(refusal.exe)) == sizeof(refusal.exe)))
		abort();
	free(text);
	return 0;
}
