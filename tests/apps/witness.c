/*
 * A service that shows what it was given, without saying it: "digest NAME FNV" of each variable that it
 * is asked for (64 bits of FNV-1a), "file PATH TEXT" of each word with a slash, line by line. Then it
 * waits to be stopped.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t digest(const char *text)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

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
		else
			(void)printf("digest %s %016" PRIx64 "\n", argv[i],
				     digest(value ? value : ""));
	}
	(void)printf("told\n");
	(void)fflush(stdout);
	for (;;)
		(void)pause();
}
