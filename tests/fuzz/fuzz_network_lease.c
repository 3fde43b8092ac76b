/* TESTS: network/lease.c network/leases.c lib/resolvconf.c lib/fd.c lib/io.c lib/str.c lib/sys.c */
/*
 * Any environment: what comes of it is sound, and nothing in it could end a line of resolv.conf or
 * begin another word there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "network/lease.h"

#define VARIABLES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *environment[VARIABLES_MAX + 1], *text = malloc(size + 1);
	struct lease_news news;
	size_t count = 0;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t at = 0; at < size && count < VARIABLES_MAX; at += strlen(text + at) + 1)
		environment[count++] = text + at;
	environment[count] = NULL;
	if (lease_read(environment, &news) == 0) {
		if (!resolvconf_is_sound(&news.lease.dns) || strpbrk(news.lease.interface, "/\n "))
			abort();
		for (size_t i = 0; i < RESOLVCONF_SEARCH_MAX; i++) {
			if (strpbrk(news.lease.dns.search[i], " \t\r\n#;"))
				abort();
		}
	}
	free(text);
	return 0;
}
