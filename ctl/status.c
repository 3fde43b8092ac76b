/*
 * holdfastctl status: one table of the units, then the instance, then what is enforced and what is
 * not. Every row is read from the board at once, but two rows may be of two moments: nothing is
 * locked, and nothing could be, by a reader that the writer does not know of.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/output.h"
#include "ctl/verbs.h"
#include "ctl/secrets.h"
#include "ctl/view.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/protection.h"

enum column {
	COLUMN_UNIT,
	COLUMN_STATE,
	COLUMN_SINCE,
	COLUMN_PID,
	COLUMN_RESTARTS,
	COLUMN_MEMORY,
	COLUMN_EXIT,
	COLUMN_WHY,
	COLUMN_COUNT
};

static const char *const headings[COLUMN_COUNT] = {
	"UNIT", "STATE", "SINCE", "PID", "RESTARTS", "MEMORY", "LAST EXIT", "WHY",
};

#define CELL_MAX 64
#define WHY_MAX	 512

struct row {
	char cells[COLUMN_WHY][CELL_MAX];
	char why[WHY_MAX];
};

/* Pages that no row touches cost nothing. */
static struct row rows[PLAN_UNITS_MAX];
static uint32_t chosen[PLAN_UNITS_MAX];

struct selection {
	uint32_t count;
	bool is_all;
};

static void cell(char *data, const char *text)
{
	struct strbuf buf;

	strbuf_init(&buf, data, CELL_MAX);
	json_printable(&buf, text, strlen(text));
}

static void fill_why(const struct instance *instance, const struct view *view, char *why)
{
	char said[BOARD_TEXT_MAX * 2];
	struct strbuf buf, text;

	strbuf_init(&buf, why, WHY_MAX);
	strbuf_init(&text, said, sizeof(said));
	view_why(instance, view, &buf);
	view_text(instance, view, &text);
	if (text.length > 0)
		strbuf_addf(&buf, "%s\"%s\"", buf.length > 0 ? ": " : "", said);
}

static void fill_row(const struct instance *instance, const struct view *view, struct row *row)
{
	const struct board_unit *record = &view->record;
	uint64_t now = clock_now_us();
	struct strbuf buf;

	cell(row->cells[COLUMN_UNIT], view->name);
	cell(row->cells[COLUMN_STATE], view->state);
	strbuf_init(&buf, row->cells[COLUMN_SINCE], CELL_MAX);
	view_duration(&buf, now > record->since_us ? now - record->since_us : 0);
	strbuf_init(&buf, row->cells[COLUMN_PID], CELL_MAX);
	if (view->pid > 0)
		strbuf_addf(&buf, "%d", view->pid);
	strbuf_init(&buf, row->cells[COLUMN_RESTARTS], CELL_MAX);
	strbuf_addf(&buf, "%u", record->restarts);
	strbuf_init(&buf, row->cells[COLUMN_MEMORY], CELL_MAX);
	if (view->memory_source)
		view_bytes(&buf, view->memory);
	strbuf_init(&buf, row->cells[COLUMN_EXIT], CELL_MAX);
	view_last_exit(view, &buf);
	fill_why(instance, view, row->why);
}

static void print_row(const struct row *row, const size_t *widths)
{
	struct strbuf *line = output_line();

	for (int c = 0; c < COLUMN_WHY; c++) {
		const char *text = row->cells[c][0] ? row->cells[c] : "-";
		strbuf_addf(line, "%-*s  ", (int)widths[c], text);
	}
	strbuf_adds(line, row->why[0] ? row->why : "-");
	output_end();
}

static void print_table(uint32_t count)
{
	size_t widths[COLUMN_WHY];
	struct row heading = {0};

	for (int c = 0; c < COLUMN_WHY; c++) {
		(void)str_copy(heading.cells[c], CELL_MAX, headings[c]);
		widths[c] = strlen(headings[c]);
		for (uint32_t i = 0; i < count; i++)
			widths[c] = MAX(widths[c], strlen(rows[i].cells[c]));
	}
	(void)str_copy(heading.why, sizeof(heading.why), headings[COLUMN_WHY]);
	print_row(&heading, widths);
	for (uint32_t i = 0; i < count; i++)
		print_row(&rows[i], widths);
}

static void print_instance(const struct instance *instance)
{
	const struct plan *plan = &instance->plan;
	struct board_manager manager = board_read_manager(&instance->board);
	struct strbuf *line = output_line();
	uint64_t now = clock_now_us(), boot = plan->header->boot_us;

	strbuf_addf(line, "\nThe instance is %s, up for ", view_phase(&manager));
	view_duration(line, now > boot ? now - boot : 0);
	if (*plan_string(plan, plan->header->image_id)) {
		const char *id = plan_string(plan, plan->header->image_id);
		const char *version = plan_string(plan, plan->header->image_version);
		strbuf_adds(line, ", image ");
		json_printable(line, id, strlen(id));
		strbuf_adds(line, *version ? " " : "");
		json_printable(line, version, strlen(version));
	}
	strbuf_addf(line, ", holdfast %s.", HOLDFAST_VERSION);
	output_end();
	if (manager.cause_unit < instance->board.n_units) {
		line = output_line();
		strbuf_addf(line, "It ends because of %s (%s), with exit status %u.",
			    plan_unit_name(plan, manager.cause_unit),
			    manager.cause < RESULT_COUNT ? unit_result_names[manager.cause]
							 : "unknown",
			    manager.exit_status);
		output_end();
	}
	if (instance->ring.header && ring_dropped(&instance->ring) > 0) {
		line = output_line();
		strbuf_addf(line, "%llu log lines were dropped: nobody reads the output.",
			    (unsigned long long)ring_dropped(&instance->ring));
		output_end();
	}
}

/* What is enforced, and by which means, and what is not, and why not. */
static void print_protections(const struct instance *instance)
{
	static const char *const words[PROTECTION_COUNT] = {
		[PROTECTION_FULL] = "enforced",
		[PROTECTION_REDUCED] = "in part",
		[PROTECTION_NONE] = "NOT ENFORCED",
	};
	struct protection_list list = {.plan = &instance->plan, .gate = instance->gate};
	struct protection protection;

	strbuf_adds(output_line(), "");
	output_end();
	while (protection_next(&list, &protection)) {
		struct strbuf *line = output_line();
		strbuf_addf(line, "%-20s  %-12s  %s%s%s", protection.name, words[protection.level],
			    protection.rung, *protection.why ? ": " : "", protection.why);
		output_end();
	}
}

/* Nothing where nobody was refused. */
static void print_gate(const struct instance *instance)
{
	struct gate_refusal last;
	struct strbuf *line;

	if (!instance->gate)
		return;
	last = gateboard_read_refusal(instance->gate);
	if (last.wall_us == 0)
		return;
	line = output_line();
	strbuf_adds(line, "\nRefused from outside:");
	for (enum gate_counter i = 0; i < GATE_COUNTER_COUNT; i++)
		strbuf_addf(line, "%s %llu %s", i == 0 ? "" : ",",
			    (unsigned long long)gateboard_count(instance->gate, i),
			    gate_counter_names[i]);
	strbuf_adds(line, "; the last one at ");
	clock_format(line, last.wall_us);
	strbuf_addf(line, ", pid %d, uid %u: ", last.pid, last.uid);
	json_printable(line, last.exe, strlen(last.exe));
	output_end();
}

static void json_unit(const struct instance *instance, const struct view *view, struct strbuf *line)
{
	const struct board_unit *record = &view->record;
	char text[WHY_MAX];
	struct strbuf buf;

	json_object_begin(line);
	json_add_string(line, "name", view->name);
	json_add_string(line, "description", plan_string(&instance->plan, view->unit->description));
	json_add_string(line, "state", view->state);
	json_add_string(line, "active", view->active);
	json_add_bool(line, "wanted", view->counts);
	json_add_bool(line, "up", view->is_up);
	json_add_time(line, "since", record->since_wall_us);
	json_add_i64(line, "pid", view->pid);
	json_add_u64(line, "restarts", record->restarts);
	if (view->memory_source) {
		json_add_u64(line, "memory_bytes", view->memory);
		json_add_string(line, "memory_of", view->memory_source);
	}
	json_add_string(line, "result", view->result);
	strbuf_init(&buf, text, sizeof(text));
	view_last_exit(view, &buf);
	json_add_string(line, "last_exit", text);
	strbuf_init(&buf, text, sizeof(text));
	view_why(instance, view, &buf);
	json_add_string(line, "why", text);
	strbuf_init(&buf, text, sizeof(text));
	view_text(instance, view, &buf);
	json_add_string(line, "text", text);
	json_object_end(line);
}

static void json_head(const struct instance *instance)
{
	const struct plan *plan = &instance->plan;
	struct board_manager manager = board_read_manager(&instance->board);
	struct strbuf *line = output_line();

	strbuf_addf(line, "{\"schema\":1,\"version\":\"%s\"", HOLDFAST_VERSION);
	json_add_string(line, "phase", view_phase(&manager));
	json_add_bool(line, "started", manager.ready_us != 0);
	json_add_time(line, "boot", plan->header->boot_wall_us);
	json_add_string(line, "image_id", plan_string(plan, plan->header->image_id));
	json_add_string(line, "image_version", plan_string(plan, plan->header->image_version));
	if (manager.cause_unit < instance->board.n_units) {
		json_add_string(line, "cause_unit", plan_unit_name(plan, manager.cause_unit));
		json_add_u64(line, "exit_status", manager.exit_status);
	}
	if (instance->ring.header)
		json_add_u64(line, "log_dropped", ring_dropped(&instance->ring));
	json_key(line, "units");
	json_array_begin(line);
	output_end();
}

/* Of the chosen units. */
static void each_secret(const struct instance *instance, const struct selection *selection,
			void (*tell)(const struct instance *, uint32_t, bool *))
{
	bool is_first = true;

	for (uint32_t i = 0; i < selection->count; i++)
		tell(instance, chosen[i], &is_first);
}

static void json_tail(const struct instance *instance, const struct selection *selection)
{
	struct protection_list list = {.plan = &instance->plan, .gate = instance->gate};
	struct protection protection;
	struct strbuf *line = output_line();

	strbuf_adds(line, "],\"protections\":[");
	while (protection_next(&list, &protection)) {
		json_comma(line);
		json_object_begin(line);
		json_add_string(line, "name", protection.name);
		json_add_string(line, "level", protection_level_names[protection.level]);
		json_add_string(line, "rung", protection.rung);
		json_add_string(line, "why", protection.why);
		json_object_end(line);
	}
	strbuf_addc(line, ']');
	view_gate(instance, line);
	strbuf_adds(line, ",\"secrets\":[");
	output_end();
	each_secret(instance, selection, secrets_json);
	line = output_line();
	strbuf_adds(line, "]}");
	output_end();
}

/* The units that were named, or all. */
static int choose(const struct instance *instance, int argc, char **argv, struct selection *ret)
{
	struct selection selection = {.is_all = argc == 0};

	for (int i = 0; i < argc; i++) {
		uint32_t unit = plan_find_unit(&instance->plan, argv[i]);
		char full[CELL_MAX * 4];
		(void)snprintf(full, sizeof(full), "%s.service", argv[i]);
		if (unit == PLAN_NO_UNIT)
			unit = plan_find_unit(&instance->plan, full);
		if (unit == PLAN_NO_UNIT)
			return ctl_fail(CTL_NO_UNIT, "%s: no unit of this instance", argv[i]);
		if (selection.count < PLAN_UNITS_MAX)
			chosen[selection.count++] = unit;
	}
	for (uint32_t i = 0; argc == 0 && i < plan_unit_count(&instance->plan); i++)
		chosen[selection.count++] = i;
	*ret = selection;
	return 0;
}

static int print(const struct instance *instance, const struct selection *selection, bool is_json)
{
	int status = CTL_OK;

	if (is_json)
		json_head(instance);
	for (uint32_t i = 0; i < selection->count; i++) {
		struct view view;
		view_read(instance, chosen[i], &view);
		view_measure(instance, &view);
		if (!view.is_up && (view.counts || !selection->is_all))
			status = CTL_NOT_UP;
		if (!is_json) {
			fill_row(instance, &view, &rows[i]);
			continue;
		}
		struct strbuf *line = output_line();
		strbuf_adds(line, i == 0 ? "" : ",");
		json_unit(instance, &view, line);
		output_end();
	}
	if (is_json) {
		json_tail(instance, selection);
	} else {
		print_table(selection->count);
		print_instance(instance);
		print_protections(instance);
		print_gate(instance);
		each_secret(instance, selection, secrets_print);
	}
	return output_flush() < 0 ? CTL_BAD_OUTPUT : status;
}

int ctl_status(const struct ctl_options *options, int argc, char **argv)
{
	struct instance instance;
	struct selection selection = {0};
	bool is_json = false;
	char why[512];

	for (; argc > 0 && argv[0][0] == '-'; argc--, argv++) {
		if (!str_equal(argv[0], "--json"))
			return ctl_usage("status knows no option \"%s\"", argv[0]);
		is_json = true;
	}
	if (instance_open(options->directory, &instance, why, sizeof(why)) < 0)
		return ctl_fail(CTL_NO_INSTANCE, "%s", why);
	int r = choose(&instance, argc, argv, &selection);
	return r != 0 ? r : print(&instance, &selection, is_json);
}
