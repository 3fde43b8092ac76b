/* The dump's event and log lines: the ring, oldest first. */
#include "ctl/dump.h"

#include <stdatomic.h>

#include "ctl/output.h"
#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/scan.h"
#include "lib/store.h"

static const char *source_of(const struct instance *instance, const struct ring_entry *entry)
{
	if (entry->flags & RING_IS_OWN)
		return entry->unit < ROLE_COUNT ? role_programs[entry->unit] : "holdfast";
	return entry->unit < plan_unit_count(&instance->plan)
		       ? plan_unit_name(&instance->plan, entry->unit)
		       : "unknown";
}

static void dump_entry(const struct instance *instance, const struct ring_entry *entry,
		       const char *text)
{
	bool is_own = entry->flags & RING_IS_OWN;
	struct strbuf *line = dump_begin(is_own ? "event" : "log");

	json_add_time(line, "ts", entry->wall_us);
	json_add_u64(line, "seq", entry->seq);
	json_add_string(line, is_own ? "by" : "unit", source_of(instance, entry));
	if (!is_own)
		json_add_string(line, "stream",
				entry->stream == STREAM_STDERR ? "stderr" : "stdout");
	if (entry->pid > 0)
		json_add_i64(line, "pid", entry->pid);
	if (entry->flags & RING_PART) {
		json_add_u64(line, "part", entry->part);
		json_add_u64(line, "part_of", entry->part_id);
	}
	/* The ring says whether it is JSON; but the ring is shared memory, and the dump must be
	 * valid whatever it holds. */
	struct scan_span object;
	if (scan_object(text, entry->length, NULL, NULL, &object)) {
		json_key(line, "json");
		strbuf_add(line, object.data, object.length);
	} else {
		json_key(line, "msg");
		json_bytes(line, text, entry->length);
	}
	dump_end(line);
}

static void dump_gap(uint64_t from, uint64_t to)
{
	struct strbuf *line = dump_begin("log");

	json_add_u64(line, "seq", from);
	json_add_u64(line, "lost", to - from);
	json_add_string(line, "msg", "lines were overwritten while they were read");
	dump_end(line);
}

/* What its line will take, about. */
static uint64_t cost_of(const struct ring_entry *entry)
{
	return 200 + entry->length * 5 / 4;
}

static uint64_t count_bytes(const struct instance *instance, uint64_t last, uint64_t since_wall_us)
{
	static char text[RING_LINE_MAX + 1];
	struct ring_entry entry;
	uint64_t cursor = ring_oldest(&instance->ring), sum = 0;

	while (ring_read(&instance->ring, &cursor, &entry, text) && entry.seq <= last) {
		if (entry.wall_us >= since_wall_us)
			sum += cost_of(&entry);
	}
	return sum;
}

/* The lines that the ring held when it was opened: one that is written faster than this dump is
 * read would have no end. */
void dump_log(const struct instance *instance, uint64_t since_wall_us, uint64_t bytes)
{
	static char text[RING_LINE_MAX + 1];
	struct ring_entry entry;
	uint64_t expected = 0;

	if (!instance->ring.header)
		return;
	uint64_t cursor = ring_oldest(&instance->ring);
	uint64_t last = atomic_load(&instance->ring.header->last_seq);
	uint64_t rest = bytes == UINT64_MAX ? 0 : count_bytes(instance, last, since_wall_us);
	while (ring_read(&instance->ring, &cursor, &entry, text)) {
		if (entry.seq > last || entry.seq < expected)
			break;
		bool is_wanted = entry.wall_us >= since_wall_us && rest <= bytes;
		if (entry.wall_us >= since_wall_us)
			rest -= MIN(rest, cost_of(&entry));
		if (expected != 0 && entry.seq > expected)
			dump_gap(expected, entry.seq);
		expected = entry.seq + 1;
		if (is_wanted)
			dump_entry(instance, &entry, text);
	}
	struct strbuf *line = dump_begin("log_state");
	json_add_u64(line, "lines", last);
	json_add_u64(line, "dropped", ring_dropped(&instance->ring));
	dump_end(line);
}
