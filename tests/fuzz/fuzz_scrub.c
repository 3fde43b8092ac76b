/* TESTS: lib/scrub.c lib/fingerprint.c lib/siphash.c lib/unescape.c lib/scan.c log/line.c log/split.c lib/json.c lib/str.c lib/clock.c lib/fd.c lib/sys.c */
/*
 * Any bytes as secrets and as a line that has them in it: nothing of a secret is left in what comes
 * out, it is no longer than what went in, and an object that comes out is one. The first byte is the
 * length of the secret that follows; the rest is the line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/ring.h"
#include "lib/scan.h"
#include "lib/sys.h"
#include "log/line.h"
#include "log/split.h"

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int table_fd, key_fd;
static struct scrubber scrubber;

static const struct fingerprints *make_table(void)
{
	static struct fingerprints table;
	static const struct fingerprint_key key = {.sip = "0123456789abcde",
						   .multiplier = 0x9E3779B97F4A7C15};

	if (!table_fd) {
		table_fd = sys_memfd_create("table", 0);
		key_fd = sys_memfd_create("key", 0);
		CHECK(write(key_fd, &key, sizeof(key)) == (ssize_t)sizeof(key));
		CHECK(fingerprint_format(table_fd, 1, 1) == 0);
		CHECK(fingerprint_map(table_fd, key_fd, true, &table) == 0);
	}
	/* A fresh one, at the price of a wipe. */
	memset(table.owners, 0, table.n_owners * sizeof(*table.owners));
	memset(table.entries, 0, table.n_entries * sizeof(*table.entries));
	table.header->n_used = 0;
	return &table;
}

/* The value in one piece, as a chunk would have it. */
static void check_hidden(const struct line *line, const char *value, size_t length)
{
	bool is_ruler = length > 1 && memcmp(value, value + 1, length - 1) == 0;

	if (length < FINGERPRINT_MIN || length > FINGERPRINT_MAX || is_ruler ||
	    memmem(SCRUB_MARK, sizeof(SCRUB_MARK) - 1, value, length) ||
	    memmem(SCRUB_NUMBER, sizeof(SCRUB_NUMBER) - 1, value, length))
		return;
	/* What the marks themselves have made is not the service's. */
	if (!memchr(value, '[', length) && !memchr(value, ']', length) &&
	    !memchr(value, '"', length))
		CHECK(!memmem(line->text, line->length, value, length));
}

static void check_line(const struct line *line, uint32_t fit, const char *value, size_t length)
{
	struct scan_span object;

	CHECK(line->taken <= fit && line->length <= line->taken);
	if (line->flags)
		CHECK(scan_object(line->text, line->length, NULL, NULL, &object));
	check_hidden(line, value, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fingerprint_run run;
	struct line line;

	if (size < 2 || size > SPLIT_TEXT_MAX)
		return 0;
	size_t length = data[0] < size - 1 ? data[0] : size - 1;
	const char *value = (const char *)data + 1, *text = value + length;
	uint32_t left = (uint32_t)(size - 1 - length);
	const struct fingerprints *table = make_table();
	scrub_init(&scrubber, table);
	fingerprint_begin(table, "a.service", &run);
	(void)fingerprint_add(&run, value, length);
	fingerprint_end(&run);
	if (memchr(value, '\n', length))
		length = 0;
	if (line_as_object(&scrubber, text, left, &line))
		check_line(&line, left, value, length);
	line_as_text(&scrubber, text, left, left, (struct line_carry){0}, &line);
	CHECK(line.taken == left);
	check_line(&line, left, value, length);
	return 0;
}
