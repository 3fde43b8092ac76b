/* TESTS: lib/secretfile.c */
/*
 * Any bytes as a secret file: every record that is found lies within them, has a name without '=' and
 * ends with NUL, and finding it by name gives the first one of that name.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/secretfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *end = (const char *)data + size;
	struct secretfile_record record, found;
	char name[SECRETFILE_NAME_MAX + 1];
	size_t cursor = 0, before = 0;

	while (secretfile_next(data, size, &cursor, &record) > 0) {
		demand(cursor > before && cursor <= size);
		before = cursor;
		demand(record.value + record.value_length < end);
		demand(record.value[record.value_length] == '\0');
		demand(record.name_length > 0 && record.value[-1] == '=');
		memcpy(name, record.name, record.name_length);
		name[record.name_length] = '\0';
		demand(strlen(name) == record.name_length && !strchr(name, '='));
		demand(secretfile_find(data, size, name, &found) == 1);
		demand(found.name <= record.name);
		demand(!secretfile_is_text(&record) || strlen(record.value) == record.value_length);
	}
	return 0;
}
