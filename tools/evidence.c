#include "tools/evidence.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "lib/cleanup.h"
#include "lib/json.h"
#include "lib/str.h"

#define LINE_MAX_BYTES (1 << 20)
#define DEPTH_MAX      128
#define TEXT_MAX       4096 /* of any one string that is kept */

/* ---------------------------------------------------------------- values of one object */

static const char *get_text(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	return cJSON_IsString(item) ? item->valuestring : "";
}

static int64_t get_number(const cJSON *object, const char *key, int64_t otherwise)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	/* Beyond 2^53 a double is no count any more. */
	if (!cJSON_IsNumber(item) || !(item->valuedouble >= -9e15 && item->valuedouble <= 9e15))
		return otherwise;
	return (int64_t)item->valuedouble;
}

static bool get_bool(const cJSON *object, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

/* What would move a terminal's cursor comes out as '?': all of it is from outside, and all of it is
 * there to be printed. */
static char *copy(const char *text)
{
	size_t length = strnlen(text, TEXT_MAX);
	char *to = malloc(length + 1);

	if (!to) {
		perror("holdfast-explain");
		exit(70);
	}
	struct strbuf buf;
	strbuf_init(&buf, to, length + 1);
	json_printable(&buf, text, length);
	return to;
}

static void set(char **to, const char *text)
{
	free(*to);
	*to = copy(text);
}

/* ---------------------------------------------------------------- the model */

static void free_event(struct evidence_event *event)
{
	char **texts[] = {&event->time,	 &event->name,	  &event->unit,	     &event->message,
			  &event->level, &event->subject, &event->reference, &event->file,
			  &event->exe,	 &event->asker,	  &event->reason};

	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		free(*texts[i]);
	*event = (struct evidence_event){0};
}

static void free_calls(struct evidence *evidence)
{
	for (size_t i = 0; i < evidence->n_calls; i++) {
		free(evidence->calls[i].unit);
		free(evidence->calls[i].call);
		free(evidence->calls[i].allow);
		free(evidence->calls[i].program);
	}
	evidence->n_calls = 0;
}

static void free_line(struct evidence_line *line)
{
	free(line->time);
	free(line->stream);
	free(line->text);
	*line = (struct evidence_line){0};
}

static void free_unit(struct evidence_unit *unit)
{
	char **texts[] = {&unit->name, &unit->state, &unit->result, &unit->since, &unit->text};

	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		free(*texts[i]);
	for (size_t i = 0; i < unit->n_requires; i++)
		free(unit->requires[i]);
	for (size_t i = 0; i < EVIDENCE_TAIL; i++)
		free_line(&unit->tail[i]);
	*unit = (struct evidence_unit){0};
}

int evidence_init(struct evidence *evidence)
{
	*evidence = (struct evidence){.n_declared = -1};
	evidence->units = calloc(EVIDENCE_UNITS_MAX, sizeof(*evidence->units));
	evidence->events = calloc(EVIDENCE_EVENTS_MAX, sizeof(*evidence->events));
	set(&evidence->cause_unit, "");
	set(&evidence->cause_result, "");
	set(&evidence->phase, "");
	set(&evidence->image, "");
	set(&evidence->kernel_oom, "");
	return evidence->units && evidence->events ? 0 : -ENOMEM;
}

void evidence_finish(struct evidence *evidence)
{
	for (size_t i = 0; evidence->units && i < evidence->n_units; i++)
		free_unit(&evidence->units[i]);
	for (size_t i = 0; evidence->events && i < EVIDENCE_EVENTS_MAX; i++)
		free_event(&evidence->events[i]);
	free_calls(evidence);
	free(evidence->units);
	free(evidence->events);
	free(evidence->cause_unit);
	free(evidence->cause_result);
	free(evidence->phase);
	free(evidence->image);
	free(evidence->kernel_oom);
	*evidence = (struct evidence){0};
}

struct evidence_unit *evidence_find_unit(const struct evidence *evidence, const char *name)
{
	for (size_t i = 0; i < evidence->n_units; i++) {
		if (str_equal(evidence->units[i].name, name))
			return &evidence->units[i];
	}
	return NULL;
}

static struct evidence_unit *add_unit(struct evidence *evidence, const char *name)
{
	struct evidence_unit *unit = evidence_find_unit(evidence, name);

	if (unit || *name == '\0' || evidence->n_units == EVIDENCE_UNITS_MAX)
		return unit;
	unit = &evidence->units[evidence->n_units++];
	set(&unit->name, name);
	set(&unit->state, "");
	set(&unit->result, "");
	set(&unit->since, "");
	set(&unit->text, "");
	return unit;
}

const struct evidence_event *evidence_event_at(const struct evidence *evidence, size_t i)
{
	size_t kept = MIN(evidence->n_events, (size_t)EVIDENCE_EVENTS_MAX);

	if (i >= kept)
		return NULL;
	return &evidence->events[(evidence->n_events - kept + i) % EVIDENCE_EVENTS_MAX];
}

const struct evidence_event *evidence_last_event(const struct evidence *evidence, const char *name,
						 const char *unit)
{
	const struct evidence_event *event, *found = NULL;

	for (size_t i = 0; (event = evidence_event_at(evidence, i)); i++) {
		if (str_equal(event->name, name) && (!unit || str_equal(event->unit, unit)))
			found = event;
	}
	return found;
}

const struct evidence_line *evidence_line_at(const struct evidence_unit *unit, size_t i)
{
	size_t kept = MIN(unit->n_lines, (size_t)EVIDENCE_TAIL);

	return i < kept ? &unit->tail[(unit->n_lines - kept + i) % EVIDENCE_TAIL] : NULL;
}

/* ---------------------------------------------------------------- lines of a dump */

/* A dump in the middle of an instance's output tells all again, later and better. */
static void take_dump(struct evidence *evidence, const cJSON *object)
{
	bool had_dump = evidence->has_dump;

	if (get_number(object, "schema", 0) != 1) {
		evidence->is_foreign = true;
		return;
	}
	for (size_t i = 0; i < evidence->n_units; i++)
		free_unit(&evidence->units[i]);
	evidence->n_units = 0;
	/* Lines before it may be of a boot that had no dump: those of an older dump go. */
	for (size_t i = 0; had_dump && i < EVIDENCE_EVENTS_MAX; i++)
		free_event(&evidence->events[i]);
	if (had_dump)
		evidence->n_events = 0;
	evidence->has_dump = true;
	evidence->has_cause = false;
	evidence->n_dump_lines = 1;
	evidence->n_declared = -1;
	evidence->dropped = 0;
	evidence->gate = (struct evidence_gate){0};
	free_calls(evidence);
}

static void take_cause(struct evidence *evidence, const cJSON *object)
{
	evidence->has_cause = true;
	set(&evidence->cause_unit, get_text(object, "unit"));
	set(&evidence->cause_result, get_text(object, "result"));
	evidence->exit_status = get_number(object, "exit_status", 0);
}

static void take_image(struct evidence *evidence, const cJSON *object)
{
	char text[TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s %s", get_text(object, "id"),
		       get_text(object, "version"));
	set(&evidence->image, text);
}

static void take_config(struct evidence *evidence, const cJSON *object)
{
	set(&evidence->phase, get_text(object, "phase"));
}

static void add_requires(struct evidence_unit *unit, const cJSON *list)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		if (cJSON_IsString(item) && unit->n_requires < EVIDENCE_REQUIRES_MAX)
		unit->requires[unit->n_requires++] = copy(item->valuestring);
	}
}

static void take_unit(struct evidence *evidence, const cJSON *object)
{
	struct evidence_unit *unit = add_unit(evidence, get_text(object, "unit"));

	if (!unit)
		return;
	set(&unit->state, get_text(object, "state"));
	set(&unit->result, get_text(object, "result"));
	set(&unit->since, get_text(object, "since"));
	set(&unit->text, get_text(object, "text"));
	unit->has_exited = cJSON_GetObjectItemCaseSensitive(object, "exit_code") != NULL;
	unit->exit_code = get_number(object, "exit_code", 0);
	unit->exit_status = get_number(object, "exit_status", 0);
	unit->exec_error = get_number(object, "exec_error", 0);
	unit->restarts = get_number(object, "restarts", 0);
	unit->is_essential = get_bool(object, "essential");
	unit->is_wanted = get_bool(object, "wanted");
	unit->is_up = get_bool(object, "up");
	unit->was_active = get_bool(object, "was_active");
	unit->was_killed = get_bool(object, "killed");
	add_requires(unit, cJSON_GetObjectItemCaseSensitive(object, "requires"));
	add_requires(unit, cJSON_GetObjectItemCaseSensitive(object, "binds_to"));
}

static void add_call(struct evidence *evidence, const cJSON *object, bool is_deadly)
{
	const char *unit = get_text(object, "unit"), *call = get_text(object, "call");
	struct evidence_call *found = evidence->calls;
	size_t n = evidence->n_calls;

	while (n > 0 && !(str_equal(found->unit, unit) && str_equal(found->call, call) &&
			  found->is_deadly == is_deadly))
		found++, n--;
	if (n == 0) {
		if (evidence->n_calls == EVIDENCE_CALLS_MAX)
			return;
		evidence->n_calls++;
		*found = (struct evidence_call){.unit = copy(unit), .call = copy(call)};
	}
	set(&found->allow, get_text(object, "allow"));
	set(&found->program, get_text(object, *get_text(object, "program") ? "program" : "name"));
	found->count = get_number(object, "count", 1);
	found->is_deadly = is_deadly;
}

static void add_event(struct evidence *evidence, const cJSON *object, const char *time)
{
	struct evidence_event *event = &evidence->events[evidence->n_events % EVIDENCE_EVENTS_MAX];

	free_event(event);
	*event = (struct evidence_event){
		.time = copy(time),
		.name = copy(get_text(object, "event")),
		.unit = copy(get_text(object, "unit")),
		.message = copy(get_text(object, "msg")),
		.level = copy(get_text(object, "level")),
		.subject = copy(get_text(object, "name")),
		.reference = copy(get_text(object, "reference")),
		.file = copy(get_text(object, "file")),
		.exe = copy(get_text(object, "exe")),
		.asker = copy(get_text(object, "asker")),
		.reason = copy(get_text(object, "reason")),
		.uid = get_number(object, "uid", -1),
		.line = get_number(object, "line", 0),
		.column = get_number(object, "column", 0),
	};
	evidence->n_events++;
	/* Where there is a dump it has counted all of them. */
	if (!evidence->has_dump && str_equal(get_text(object, "event"), "call-refused"))
		add_call(evidence, object, false);
	if (!evidence->has_dump && str_equal(get_text(object, "event"), "call-killed"))
		add_call(evidence, object, true);
}

static void take_event(struct evidence *evidence, const cJSON *object)
{
	const cJSON *json = cJSON_GetObjectItemCaseSensitive(object, "json");

	if (cJSON_IsObject(json))
		add_event(evidence, json, get_text(object, "ts"));
}

static void add_line(struct evidence_unit *unit, const char *time, const char *stream,
		     const char *text)
{
	struct evidence_line *line = &unit->tail[unit->n_lines++ % EVIDENCE_TAIL];

	free_line(line);
	*line = (struct evidence_line){copy(time), copy(stream), copy(text)};
}

static void take_log(struct evidence *evidence, const cJSON *object)
{
	struct evidence_unit *unit = add_unit(evidence, get_text(object, "unit"));
	const cJSON *json = cJSON_GetObjectItemCaseSensitive(object, "json");

	if (!unit)
		return;
	if (!cJSON_IsObject(json)) {
		add_line(unit, get_text(object, "ts"), get_text(object, "stream"),
			 get_text(object, "msg"));
		return;
	}
	char *text = cJSON_PrintUnformatted(json);
	add_line(unit, get_text(object, "ts"), get_text(object, "stream"), text ? text : "");
	cJSON_free(text);
}

static void take_log_state(struct evidence *evidence, const cJSON *object)
{
	evidence->dropped = get_number(object, "dropped", 0);
}

static void take_cgroup(struct evidence *evidence, const cJSON *object)
{
	const cJSON *events = cJSON_GetObjectItemCaseSensitive(object, "memory.events");
	struct evidence_unit *unit = evidence_find_unit(evidence, get_text(object, "of"));

	if (unit && get_number(events, "oom_kill", 0) > 0)
		unit->is_oom_killed = true;
}

static void take_kernel(struct evidence *evidence, const cJSON *object)
{
	const char *message = get_text(object, "msg");

	if (strstr(message, "Out of memory") || strstr(message, "out of memory") ||
	    strstr(message, "oom-kill"))
		set(&evidence->kernel_oom, message);
}

static void take_gate(struct evidence *evidence, const cJSON *object)
{
	const cJSON *gate = cJSON_GetObjectItemCaseSensitive(object, "gate");

	evidence->gate = (struct evidence_gate){
		.denied = get_number(gate, "denied", 0),
		.killed = get_number(gate, "killed", 0),
		.reported = get_number(gate, "reported", 0),
		.unkillable = get_number(gate, "unkillable", 0),
		.turned_away = get_number(gate, "turned_away", 0),
	};
}

static void take_refused_call(struct evidence *evidence, const cJSON *object)
{
	add_call(evidence, object, get_bool(object, "killed"));
}

static void take_end(struct evidence *evidence, const cJSON *object)
{
	evidence->n_declared = get_number(object, "lines", -1);
}

static void take_other(struct evidence *evidence, const cJSON *object)
{
	(void)evidence;
	(void)object;
}

static const struct {
	const char *type;
	void (*take)(struct evidence *evidence, const cJSON *object);
} types[] = {
	{"cause", take_cause},
	{"image", take_image},
	{"config", take_config},
	{"unit", take_unit},
	{"event", take_event},
	{"log", take_log},
	{"log_state", take_log_state},
	{"cgroup", take_cgroup},
	{"kernel", take_kernel},
	{"gate", take_gate},
	{"refused_call", take_refused_call},
	{"end", take_end},
	{"protection", take_other},
	{"mount", take_other},
	{"process", take_other},
	{"scratch", take_other},
	{"secret", take_other},
	{"pressure", take_other},
};

/* A line of an instance's output: holdfast's own have "event" and "by", services' have "holdfast".
 */
static void take_output(struct evidence *evidence, const cJSON *object)
{
	const cJSON *meta = cJSON_GetObjectItemCaseSensitive(object, "holdfast");

	if (*get_text(object, "event") && *get_text(object, "by")) {
		add_event(evidence, object, get_text(object, "ts"));
	} else if (cJSON_IsObject(meta) && !evidence->has_dump) {
		struct evidence_unit *unit = add_unit(evidence, get_text(meta, "unit"));
		if (unit)
			add_line(unit, get_text(object, "ts"), get_text(meta, "stream"),
				 get_text(object, "msg"));
	}
}

static void take_object(struct evidence *evidence, const cJSON *object)
{
	const char *type = get_text(object, "type");

	if (str_equal(type, "dump")) {
		take_dump(evidence, object);
		return;
	}
	/* Behind its end nothing belongs to a dump any more. */
	bool is_inside = evidence->has_dump && evidence->n_declared < 0;
	for (size_t i = 0; is_inside && i < ARRAY_COUNT(types); i++) {
		if (!str_equal(type, types[i].type))
			continue;
		evidence->n_dump_lines++;
		types[i].take(evidence, object);
		return;
	}
	take_output(evidence, object);
}

/* ---------------------------------------------------------------- text */

/* cJSON recurses: how deep, is looked at before. */
static bool is_shallow(const char *text, size_t length)
{
	int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < length; i++) {
		if (in_string && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			in_string = !in_string;
		else if (!in_string && (text[i] == '{' || text[i] == '['))
			depth++;
		else if (!in_string && (text[i] == '}' || text[i] == ']'))
			depth--;
		if (depth > DEPTH_MAX)
			return false;
	}
	return true;
}

int evidence_take(struct evidence *evidence, char *line, size_t length)
{
	if (length == 0)
		return 0;
	line[length] = '\0';
	cJSON *object = NULL;
	/* Nothing may stand behind the object. */
	if (line[0] == '{' && is_shallow(line, length))
		object = cJSON_ParseWithLengthOpts(line, length + 1, NULL, 1);
	if (cJSON_IsObject(object))
		take_object(evidence, object);
	else
		evidence->n_unreadable++;
	cJSON_Delete(object);
	return 0;
}

int evidence_read(FILE *input, struct evidence *evidence)
{
	char *line = malloc(LINE_MAX_BYTES + 1);
	size_t length = 0;
	bool is_too_long = false;

	if (!line)
		return -ENOMEM;
	for (int c = getc_unlocked(input);; c = getc_unlocked(input)) {
		if (c != '\n' && c != EOF) {
			is_too_long |= length == LINE_MAX_BYTES;
			if (!is_too_long)
				line[length++] = (char)c;
			continue;
		}
		if (is_too_long)
			evidence->n_unreadable++;
		else
			(void)evidence_take(evidence, line, length);
		length = 0;
		is_too_long = false;
		if (c == EOF)
			break;
	}
	free(line);
	return 0;
}
