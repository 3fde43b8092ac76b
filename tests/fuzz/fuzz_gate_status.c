/* TESTS: gate/judge.c lib/proc.c lib/store.c lib/board.c lib/journal.c lib/plan.c lib/io.c lib/fd.c lib/sys.c lib/str.c lib/clock.c */
/*
 * What /proc says of a process, in whose name, groups and numbers that process has a hand: the first
 * byte says which file it is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gate/judge.h"

static void fuzz_status(const char *text)
{
	struct judge_status status;

	if (judge_parse_status(text, &status) < 0)
		return;
	/* Nobody is told apart by a line that is not there. */
	if (!strstr(text, "Uid:") || !strstr(text, "Gid:") ||
	    (status.has_filters && !strstr(text, "Seccomp_filters:")))
		abort();
}

static void fuzz_stat(const char *text)
{
	struct proc_stat stat;

	if (proc_parse_stat(text, &stat) == 0 && strlen(stat.name) >= sizeof(stat.name))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	if (data[0] & 1)
		fuzz_status(text);
	else
		fuzz_stat(text);
	free(text);
	return 0;
}
