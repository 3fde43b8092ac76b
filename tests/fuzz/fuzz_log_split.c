/* TESTS: lib/scan.c log/split.c log/render.c lib/plan.c lib/store.c lib/event.c lib/json.c lib/str.c lib/clock.c lib/fd.c lib/sys.c
 *
 * Any line, as a service could print it: the cuts cover it and fit, and what comes out in JSON is
 * one valid object of less than 16 KiB with the envelope in it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/store.h"
#include "log/render.h"
#include "lib/scan.h"
#include "log/split.h"

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A plan with one unit whose name is as long and as much in need of escapes as may be. */
static struct plan *make_plan(void)
{
	static _Alignas(8) char block[sizeof(struct plan_header) + sizeof(struct plan_unit) + 512];
	static struct plan plan;
	struct plan_header *header = (struct plan_header *)block;
	size_t units_at = sizeof(struct plan_header);
	size_t strings_at = (units_at + sizeof(struct plan_unit) + 7) & ~(size_t)7;

	memset(block, 0, sizeof(block));
	header->magic = PLAN_MAGIC;
	header->version = PLAN_VERSION;
	header->size = sizeof(block);
	header->main_unit = PLAN_NO_UNIT;
	header->identity_unit = PLAN_NO_UNIT;
	header->log_format = LOG_JSON;
	header->sections[PLAN_UNITS].offset = units_at;
	header->sections[PLAN_UNITS].count = 1;
	header->sections[PLAN_STRINGS].offset = strings_at;
	header->sections[PLAN_STRINGS].count = sizeof(block) - strings_at;
	((struct plan_unit *)(block + units_at))->name = 1;
	memset(block + strings_at + 1, '\\', 255);
	CHECK(plan_open(block, sizeof(block), &plan) == 0);
	return &plan;
}

struct found {
	int envelopes, members;
};

static void look(void *context, struct scan_span key, struct scan_span value)
{
	struct found *found = context;

	found->members++;
	if (value.data[0] != '{')
		return;
	if (scan_string_is(key, "holdfast") || scan_string_is(key, "_holdfast"))
		found->envelopes++;
}

static void has_key(void *context, struct scan_span key, struct scan_span value)
{
	uint32_t *flags = context;

	(void)value;
	if (scan_string_is(key, "holdfast"))
		*flags |= RING_HAS_KEY;
}

static void check_line(struct renderer *renderer, const char *text, size_t length, uint32_t flags)
{
	static char out_data[RENDER_MAX];
	struct ring_entry entry = {
		.seq = UINT64_MAX,
		.pid = INT32_MAX,
		.flags = flags,
		.part = UINT32_MAX,
		.part_id = UINT64_MAX,
		.length = (uint32_t)length,
		.stream = STREAM_STDERR,
	};
	struct found found = {0};
	struct scan_span object;
	struct strbuf out;

	strbuf_init(&out, out_data, sizeof(out_data));
	render_entry(renderer, &entry, text, &out);
	CHECK(!out.is_cut && out.length <= RING_LINE_MAX);
	CHECK(out.data[out.length - 1] == '\n' && !memchr(out.data, '\n', out.length - 1));
	CHECK(scan_object(out.data, out.length - 1, look, &found, &object));
	CHECK(found.envelopes >= 1);
}

static void check_cuts(struct renderer *renderer, const char *text, size_t length)
{
	for (size_t at = 0; at < length;) {
		size_t fit = split_fit(text + at, length - at, false);
		CHECK(fit > 0 && fit <= SPLIT_TEXT_MAX && fit <= length - at);
		CHECK(split_fit(text + at, length - at, true) <= fit);
		check_line(renderer, text + at, fit, RING_PART | RING_LAST | RING_NO_END);
		at += fit;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct renderer renderer;
	struct scan_span object;
	uint32_t flags = RING_IS_JSON;
	size_t length = size;

	if (!renderer.plan)
		renderer_init(&renderer, make_plan());
	/* A line has no newline. The first byte says how often the rest is repeated. */
	if (size == 0)
		return 0;
	size_t times = (size_t)data[0] * 16 + 1;
	if (times * (size - 1) > 60000)
		times = 1;
	length = (size - 1) * times;
	char *text = malloc(length + 1);
	CHECK(text);
	for (size_t i = 0; i < length; i++)
		text[i] = data[1 + i % (size - 1)] == '\n' ? ' ' : (char)data[1 + i % (size - 1)];
	check_cuts(&renderer, text, length);
	if (length <= SPLIT_TEXT_MAX && scan_object(text, length, has_key, &flags, &object)) {
		CHECK(split_may_be_object(text, length));
		check_line(&renderer, text, length, flags);
	}
	free(text);
	return 0;
}
