/* TESTS: ctl/time.c ctl/url.c lib/scan.c lib/proc.c lib/str.c lib/json.c lib/clock.c lib/io.c lib/fd.c lib/sys.c */
/* LDFLAGS: -lcjson */
/*
 * Parsers of holdfastctl; the first byte says which. What the scanner of JSON lets through another
 * parser must read as one object too, since it is copied into lines of JSON as it is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ctl/time.h"
#include "ctl/url.h"
#include "lib/proc.h"
#include "lib/scan.h"

static void fuzz_json(const char *text, size_t length)
{
	struct scan_span span;

	if (!scan_object(text, length, NULL, NULL, &span))
		return;
	if (memchr(text, '\n', length))
		abort();
	cJSON *object = cJSON_ParseWithLengthOpts(text, length + 1, NULL, 1);
	if (!cJSON_IsObject(object))
		abort();
	cJSON_Delete(object);
}

static void fuzz_time(const char *text, size_t length)
{
	uint64_t us;

	(void)length;
	(void)ctl_parse_time(text, &us);
	(void)ctl_parse_duration(text, &us);
}

static void fuzz_url(const char *text, size_t length)
{
	struct url url;

	(void)url_answer_status(text, length);
	if (url_parse(text, &url) == 0 &&
	    (strpbrk(url.target, " \r\n") || url.target[0] != '/' || !*url.host || !*url.port))
		abort();
}

static void fuzz_stat(const char *text, size_t length)
{
	struct proc_stat stat;

	(void)length;
	(void)proc_parse_stat(text, &stat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(const char *text, size_t length) = {
		fuzz_json,
		fuzz_time,
		fuzz_url,
		fuzz_stat,
	};

	if (size == 0)
		return 0;
	char *text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	parsers[data[0] % 4](text, size - 1);
	free(text);
	return 0;
}
