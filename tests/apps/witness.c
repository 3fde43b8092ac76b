/*
 * A service that shows what it was given, without saying it: "digest NAME FNV" of each variable that it
 * is asked for and has (64 bits of FNV-1a), "file PATH TEXT" of each word with a slash, line by line. Then it
 * waits to be stopped.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/hash.h"

static void tell_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		(void)printf("file %s %s", path, line);
	if (file)
		(void)fclose(file);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value = getenv(argv[i]);
		if (strchr(argv[i], '/'))
			tell_file(argv[i]);
		else if (value)
			(void)printf("digest %s %016" PRIx64 "\n", argv[i],
				     hash_add(HASH_BEGIN, value, strlen(value)));
	}
	(void)printf("told\n");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}
