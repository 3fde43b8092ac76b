/* TESTS: tools/evidence.c lib/str.c lib/json.c lib/clock.c */
/* LDFLAGS: -lcjson */
/* Any bytes as a dump: what is kept is within its limits and free of control characters. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/evidence.h"

static void check_text(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct evidence evidence;
	const struct evidence_event *event;
	const struct evidence_line *line;

	if (size == 0)
		return 0;
	FILE *input = fmemopen((void *)(uintptr_t)data, size, "r");
	if (!input || evidence_init(&evidence) < 0 || evidence_read(input, &evidence) < 0)
		abort();
	(void)fclose(input);
	for (size_t i = 0; (event = evidence_event_at(&evidence, i)); i++)
		check_text(event->message);
	for (size_t i = 0; i < evidence.n_units; i++) {
		check_text(evidence.units[i].name);
		if (evidence.units[i].n_requires > EVIDENCE_REQUIRES_MAX)
			abort();
		for (size_t k = 0; (line = evidence_line_at(&evidence.units[i], k)); k++)
			check_text(line->text);
	}
	evidence_finish(&evidence);
	return 0;
}
