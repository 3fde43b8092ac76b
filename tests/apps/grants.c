/*
 * Who may hold what of the store, one JSON object: {program: mask of kinds}. Bit 1 << kind as in
 * lib/store.h.
 */
/* TESTS: lib/store.c lib/fd.c lib/sys.c lib/io.c */
#include <inttypes.h>
#include <stdio.h>

#include "lib/store.h"

int main(void)
{
	for (int role = 0; role < ROLE_COUNT; role++)
		(void)printf("%s\"%s\": %" PRIu64, role == 0 ? "{" : ", ", role_programs[role],
			     store_grants[role]);
	return puts("}") < 0;
}
