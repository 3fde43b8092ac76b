#include "log/render.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/event.h"
#include "lib/json.h"
#include "lib/store.h"
#include "lib/scan.h"

/* This is the one place that runs for every line and every byte: numbers and times are written
 * here and not by printf, which alone would cost more than all the rest. */

/* In 2026-01-02T03:04:05.000006Z */
#define FRACTION_AT 20
#define TIME_LENGTH 27

static const char *const stream_names[] = {
	[STREAM_STDOUT] = "stdout",
	[STREAM_STDERR] = "stderr",
};

#define ADD_LITERAL(out, text) strbuf_add((out), (text), sizeof(text) - 1)

void renderer_init(struct renderer *renderer, const struct plan *plan)
{
	*renderer = (struct renderer){
		.plan = plan,
		.format = (enum log_format)plan->header->log_format,
		.second = UINT64_MAX,
	};
}

static void add_u64(struct strbuf *out, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	strbuf_add(out, digits + at, sizeof(digits) - at);
}

/* The date changes once a second; only the fraction is written anew. */
static void add_time(struct renderer *renderer, uint64_t wall_us, struct strbuf *out)
{
	uint64_t fraction = wall_us % USEC_PER_SEC;

	if (renderer->second != wall_us / USEC_PER_SEC) {
		struct strbuf time;
		strbuf_init(&time, renderer->time, sizeof(renderer->time));
		clock_format(&time, wall_us);
		renderer->second = wall_us / USEC_PER_SEC;
	}
	for (int i = 5; i >= 0; i--) {
		renderer->time[FRACTION_AT + i] = (char)('0' + fraction % 10);
		fraction /= 10;
	}
	strbuf_add(out, renderer->time, TIME_LENGTH);
}

static void add_number(struct strbuf *out, const char *key, uint64_t value)
{
	strbuf_adds(out, key);
	add_u64(out, value);
}

/* ---------------------------------------------------------------- json */

static void add_part(const struct ring_entry *entry, struct strbuf *out)
{
	if (!(entry->flags & RING_PART))
		return;
	add_number(out, ",\"id\":", entry->part_id);
	add_number(out, ",\"n\":", entry->part);
	if (entry->flags & RING_LAST)
		add_number(out, ",\"of\":", entry->part);
}

/* "unit":…,"pid":…,"stream":…, */
static void render_origin(struct renderer *renderer, const struct ring_entry *entry)
{
	struct strbuf out;

	strbuf_init(&out, renderer->origin, sizeof(renderer->origin));
	ADD_LITERAL(&out, "\"unit\":");
	json_string(&out, plan_unit_name(renderer->plan, entry->unit));
	if (entry->pid > 0)
		add_number(&out, ",\"pid\":", (uint64_t)entry->pid);
	ADD_LITERAL(&out, ",\"stream\":\"");
	strbuf_adds(&out, stream_names[entry->stream]);
	ADD_LITERAL(&out, "\",");
	renderer->origin_unit = entry->unit;
	renderer->origin_stream = entry->stream;
	renderer->origin_pid = entry->pid;
	renderer->origin_length = (uint32_t)out.length;
}

static void add_origin(struct renderer *renderer, const struct ring_entry *entry,
		       struct strbuf *out)
{
	if (renderer->origin_length == 0 || renderer->origin_unit != entry->unit ||
	    renderer->origin_stream != entry->stream || renderer->origin_pid != entry->pid)
		render_origin(renderer, entry);
	strbuf_add(out, renderer->origin, renderer->origin_length);
}

/* "holdfast":{…} */
static void add_envelope(struct renderer *renderer, const struct ring_entry *entry,
			 struct strbuf *out)
{
	if (entry->flags & RING_HAS_KEY)
		ADD_LITERAL(out, "\"_holdfast\":{");
	else
		ADD_LITERAL(out, "\"holdfast\":{");
	if (!(entry->flags & RING_IS_OWN))
		add_origin(renderer, entry, out);
	add_number(out, "\"seq\":", entry->seq);
	add_part(entry, out);
	if (entry->flags & RING_NO_END)
		ADD_LITERAL(out, ",\"cut\":true");
	strbuf_addc(out, '}');
}

static void add_timestamp(struct renderer *renderer, uint64_t wall_us, struct strbuf *out)
{
	ADD_LITERAL(out, "\"ts\":\"");
	add_time(renderer, wall_us, out);
	strbuf_addc(out, '"');
}

/* The record's text without the white space around the object; ring.h says that it is one. */
static struct scan_span object_of(const struct ring_entry *entry, const char *text)
{
	size_t start = 0, end = entry->length;

	while (start < end && text[start] != '{')
		start++;
	while (end > start && text[end - 1] != '}')
		end--;
	return (struct scan_span){.data = text + start, .length = end - start};
}

static bool has_members(struct scan_span object)
{
	return memchr(object.data, '"', object.length) != NULL;
}

static void render_object(struct renderer *renderer, const struct ring_entry *entry,
			  const char *text, struct strbuf *out)
{
	struct scan_span object = object_of(entry, text);

	strbuf_addc(out, '{');
	if (entry->flags & RING_IS_OWN) {
		add_timestamp(renderer, entry->wall_us, out);
		if (has_members(object))
			strbuf_addc(out, ',');
	}
	strbuf_add(out, object.data + 1, object.length - 2);
	if (has_members(object) || (entry->flags & RING_IS_OWN))
		strbuf_addc(out, ',');
	add_envelope(renderer, entry, out);
	strbuf_addc(out, '}');
}

/* What a process of ours printed without meaning to: libc's last words, say. */
static void add_own_members(const struct ring_entry *entry, struct strbuf *out)
{
	ADD_LITERAL(out, ",\"level\":\"warning\",\"event\":\"unstructured\",\"by\":\"");
	strbuf_adds(out, role_programs[entry->unit]);
	strbuf_addc(out, '"');
}

static void render_text(struct renderer *renderer, const struct ring_entry *entry, const char *text,
			struct strbuf *out)
{
	strbuf_addc(out, '{');
	add_timestamp(renderer, entry->wall_us, out);
	if (entry->flags & RING_IS_OWN)
		add_own_members(entry, out);
	ADD_LITERAL(out, ",\"msg\":");
	json_bytes(out, text, entry->length);
	strbuf_addc(out, ',');
	add_envelope(renderer, entry, out);
	strbuf_addc(out, '}');
}

static void render_json(struct renderer *renderer, const struct ring_entry *entry, const char *text,
			struct strbuf *out)
{
	if (entry->flags & RING_IS_JSON)
		render_object(renderer, entry, text, out);
	else
		render_text(renderer, entry, text, out);
	strbuf_addc(out, '\n');
}

/* ---------------------------------------------------------------- plain and raw */

struct own_event {
	struct scan_span message;
	bool is_serious; /* a warning or an error */
};

static void find_message(void *context, struct scan_span key, struct scan_span value)
{
	struct own_event *event = context;
	/* Without its quotes, if it has any. */
	struct scan_span inside = {value.data + 1, value.length > 2 ? value.length - 2 : 0};

	if (value.data[0] != '"')
		return;
	if (scan_string_is(key, "msg"))
		event->message = inside;
	if (scan_string_is(key, "level"))
		event->is_serious = scan_string_is(inside, event_level_names[EVENT_WARNING]) ||
				    scan_string_is(inside, event_level_names[EVENT_ERROR]);
}

/* The inside of a JSON string for a person's eyes: control characters stay as they were escaped. */
static void add_unquoted(struct scan_span string, struct strbuf *out)
{
	for (size_t i = 0; i < string.length; i++) {
		char c = string.data[i];
		if (c == '\\' && i + 1 < string.length && strchr("\"\\/", string.data[i + 1]))
			c = string.data[++i];
		strbuf_addc(out, c);
	}
}

static struct own_event look_into(const struct ring_entry *entry, const char *text)
{
	struct own_event event = {.message = {text, entry->length}, .is_serious = true};
	struct scan_span object;

	if (!(entry->flags & RING_IS_JSON))
		return event;
	event.is_serious = false;
	(void)scan_object(text, entry->length, find_message, &event, &object);
	return event;
}

static void render_own_plain(const struct ring_entry *entry, const char *text, struct strbuf *out)
{
	struct own_event event = look_into(entry, text);

	ADD_LITERAL(out, "holdfast: ");
	add_unquoted(event.message, out);
	strbuf_addc(out, '\n');
}

static void render_plain(struct renderer *renderer, const struct ring_entry *entry,
			 const char *text, struct strbuf *out)
{
	add_time(renderer, entry->wall_us, out);
	strbuf_addc(out, ' ');
	if (entry->flags & RING_IS_OWN) {
		render_own_plain(entry, text, out);
		return;
	}
	strbuf_adds(out, plan_unit_name(renderer->plan, entry->unit));
	if (entry->pid > 0) {
		add_number(out, "[", (uint64_t)entry->pid);
		strbuf_addc(out, ']');
	}
	ADD_LITERAL(out, ": ");
	strbuf_add(out, text, entry->length);
	strbuf_addc(out, '\n');
}

/* Parts of a long line are put together again, unless another line came between them. */
static void render_raw(struct renderer *renderer, const struct ring_entry *entry, const char *text,
		       struct strbuf *out)
{
	uint64_t id = entry->flags & RING_PART ? entry->part_id : 0;

	if ((entry->flags & RING_IS_OWN) && !look_into(entry, text).is_serious)
		return;
	if (renderer->open_id && renderer->open_id != id)
		strbuf_addc(out, '\n');
	renderer->open_id = 0;
	if (entry->flags & RING_IS_OWN) {
		render_own_plain(entry, text, out);
		return;
	}
	strbuf_add(out, text, entry->length);
	if (id && !(entry->flags & RING_LAST))
		renderer->open_id = id;
	else
		strbuf_addc(out, '\n');
}

/* ---------------------------------------------------------------- any of them */

/* The ring is only as sane as the process that wrote it. */
static bool is_known(const struct renderer *renderer, const struct ring_entry *entry)
{
	if (entry->flags & RING_IS_OWN)
		return entry->unit < ROLE_COUNT;
	return entry->unit < plan_unit_count(renderer->plan) && entry->stream <= STREAM_STDERR;
}

void render_entry(struct renderer *renderer, const struct ring_entry *entry, const char *text,
		  struct strbuf *out)
{
	static void (*const renderers[LOG_FORMAT_COUNT])(
		struct renderer *, const struct ring_entry *, const char *, struct strbuf *) = {
		[LOG_JSON] = render_json,
		[LOG_PLAIN] = render_plain,
		[LOG_RAW] = render_raw,
	};

	if (is_known(renderer, entry))
		renderers[renderer->format](renderer, entry, text, out);
}

void render_dropped(struct renderer *renderer, uint64_t first_seq, uint64_t last_seq,
		    uint64_t wall_us, struct strbuf *out)
{
	char text[512];
	struct strbuf line;
	uint64_t count = last_seq - first_seq + 1;

	strbuf_init(&line, text, sizeof(text));
	json_object_begin(&line);
	json_add_string(&line, "level", event_level_names[EVENT_WARNING]);
	json_add_string(&line, "event", "log-dropped");
	json_add_string(&line, "by", role_programs[ROLE_LOG]);
	json_add_u64(&line, "count", count);
	json_add_u64(&line, "first_seq", first_seq);
	json_add_u64(&line, "last_seq", last_seq);
	json_key(&line, "msg");
	strbuf_addf(&line, "\"%llu line%s dropped: what reads holdfast's output was too slow\"",
		    (unsigned long long)count, count == 1 ? "" : "s");
	json_object_end(&line);
	struct ring_entry entry = {
		.seq = last_seq,
		.wall_us = wall_us,
		.unit = ROLE_LOG,
		.flags = RING_IS_OWN | RING_IS_JSON,
		.length = (uint32_t)line.length,
	};
	render_entry(renderer, &entry, text, out);
}
