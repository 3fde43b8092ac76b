#include "lib/event.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/json.h"
#include "lib/str.h"

#define FIELDS_MAX 8
/* /dev/kmsg refuses more than 1024 bytes. */
#define KMSG_MAX   1000
#define KMSG_DEBUG "<31>" /* facility daemon, priority debug: syslog(3) */

const char *const event_level_names[EVENT_COUNT] = {
	[EVENT_DEBUG] = "debug",     [EVENT_INFO] = "info",   [EVENT_NOTICE] = "notice",
	[EVENT_WARNING] = "warning", [EVENT_ERROR] = "error",
};

struct field {
	const char *key;
	const char *text; /* NULL: the number */
	int64_t number;
};

static const char *program = "holdfast";
static enum event_format format;
static struct field fields[FIELDS_MAX];
static size_t n_fields;
static uint64_t n_lost;
static struct event_box *held;
static void (*before_flush)(void);
static int kernel_log = -1;

void event_init(const char *name, enum event_format new_format)
{
	program = name;
	format = new_format;
}

void event_copy_to_kernel_log(int fd)
{
	kernel_log = fd;
}

static void with(struct field field)
{
	if (n_fields < FIELDS_MAX)
		fields[n_fields++] = field;
}

void event_with_string(const char *key, const char *value)
{
	with((struct field){.key = key, .text = value});
}

void event_with_i64(const char *key, int64_t value)
{
	with((struct field){.key = key, .number = value});
}

void event_discard(void)
{
	n_fields = 0;
}

static void render_plain(struct strbuf *buf, const char *unit, const char *message)
{
	strbuf_adds(buf, "holdfast: ");
	if (unit)
		strbuf_addf(buf, "%s: ", unit);
	strbuf_adds(buf, message);
}

static void render_json(struct strbuf *buf, bool has_time, enum event_level level,
			const char *event, const char *unit, const char *message)
{
	json_object_begin(buf);
	if (has_time)
		json_add_time(buf, "ts", clock_wall_us());
	json_add_string(buf, "level", event_level_names[level]);
	json_add_string(buf, "event", event);
	json_add_string(buf, "by", program);
	if (unit)
		json_add_string(buf, "unit", unit);
	for (size_t i = 0; i < n_fields; i++) {
		if (fields[i].text)
			json_add_string(buf, fields[i].key, fields[i].text);
		else
			json_add_i64(buf, fields[i].key, fields[i].number);
	}
	if (n_lost > 0)
		json_add_u64(buf, "lost", n_lost);
	json_add_string(buf, "msg", message);
	json_object_end(buf);
}

/* At most PIPE_BUF bytes: all of them or none. */
static bool put(const char *text, size_t size)
{
	return write(STDERR_FILENO, text, size) == (ssize_t)size;
}

static void put_line(const char *line, size_t size)
{
	if (put(line, size))
		n_lost = 0;
	else
		n_lost++;
}

void event_hold(struct event_box *box)
{
	held = box;
	if (held && atomic_load(&held->length) > sizeof(held->text))
		atomic_store(&held->length, 0);
}

void event_before_flush(void (*run)(void))
{
	before_flush = run;
}

/* What a pipe that is full does not take stays in the box, for the next time. */
void event_flush(void)
{
	int saved = errno;
	uint32_t length = held ? atomic_load(&held->length) : 0;

	if (length > 0 && before_flush)
		before_flush();
	if (length > 0 && put(held->text, length)) {
		held->n_lines = 0;
		atomic_store(&held->length, 0);
	}
	errno = saved;
}

static void empty_box(void)
{
	event_flush();
	if (atomic_load(&held->length) == 0)
		return;
	n_lost += held->n_lines;
	held->n_lines = 0;
	atomic_store(&held->length, 0);
}

/* n_told: how many lost ones it tells of. */
static void hold_line(enum event_level level, const char *line, size_t size, uint64_t n_told)
{
	if (size > sizeof(held->text) - atomic_load(&held->length))
		empty_box();
	uint32_t length = atomic_load(&held->length);
	memcpy(held->text + length, line, size);
	held->n_lines += 1 + (uint32_t)n_told;
	n_lost -= n_told;
	atomic_store(&held->length, length + (uint32_t)size);
	if (level >= EVENT_WARNING)
		event_flush();
}

/* At the lowest priority, so that no console repeats it. A record holds about 1000 bytes. */
static void copy_to_kernel_log(enum event_level level, const char *event, const char *unit,
			       const char *message)
{
	char record[KMSG_MAX];
	struct strbuf buf;

	strbuf_init(&buf, record, sizeof(record));
	strbuf_addf(&buf, KMSG_DEBUG "%s: ", program);
	render_json(&buf, false, level, event, unit, message);
	(void)!write(kernel_log, record, buf.length);
}

void event_emit(enum event_level level, const char *event, const char *unit,
		const char *text_format, ...)
{
	int saved = errno;
	char message[1024], line[PIPE_BUF];
	struct strbuf text, buf;
	va_list args;

	if (format == EVENT_RAW && level < EVENT_WARNING) {
		n_fields = 0;
		return;
	}
	strbuf_init(&text, message, sizeof(message));
	va_start(args, text_format);
	strbuf_vaddf(&text, text_format, args);
	va_end(args);

	if (kernel_log >= 0)
		copy_to_kernel_log(level, event, unit, message);
	strbuf_init(&buf, line, sizeof(line));
	if (format == EVENT_PLAIN || format == EVENT_RAW)
		render_plain(&buf, unit, message);
	else
		render_json(&buf, format == EVENT_JSON, level, event, unit, message);
	uint64_t n_told = n_lost;
	n_fields = 0;
	if (buf.length == sizeof(line) - 1)
		buf.length--;
	line[buf.length++] = '\n';
	if (held)
		hold_line(level, line, buf.length, n_told);
	else
		put_line(line, buf.length);
	errno = saved;
}
