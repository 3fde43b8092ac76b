/* What plan and board have of the instance. */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "ctl/dump.h"
#include "ctl/output.h"
#include "ctl/secrets.h"
#include "ctl/view.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/json.h"
#include "lib/protection.h"

#define ENVIRONMENT_VALUE_MAX 256

/* Of the environment: what says where this instance is and how it was told to behave. */
static const char *const environment_names[] = {
	"APP_ENV",
	"AWS_DEFAULT_REGION",
	"AWS_REGION",
	"ENVIRONMENT",
	"HOLDFAST_DRAIN",
	"HOLDFAST_HEALTH_LISTEN",
	"HOLDFAST_LOG_FORMAT",
	"HOLDFAST_STOP_TIMEOUT",
	"HOLDFAST_UNITS",
	"HOSTNAME",
	"IMAGE_ID",
	"IMAGE_VERSION",
	"KUBERNETES_PORT",
	"LANG",
	"LC_ALL",
	"NODE_NAME",
	"PATH",
	"POD_NAME",
	"POD_NAMESPACE",
	"TZ",
};

static const char *const detail_names[HEALTH_DETAIL_COUNT] = {"loopback", "all", "none"};
static const char *const delivery_names[SECRET_DELIVERY_COUNT] = {"environment", "file", "fd"};

static void add_seconds(struct strbuf *line, const char *key, uint64_t us)
{
	json_key(line, key);
	if (us == PLAN_INFINITY_US)
		strbuf_adds(line, "null");
	else
		strbuf_addf(line, "%llu.%06u", (unsigned long long)(us / USEC_PER_SEC),
			    (unsigned)(us % USEC_PER_SEC));
}

void dump_cause(const struct instance *instance)
{
	struct board_manager manager = board_read_manager(&instance->board);
	char text[512], failure[BOARD_FAILURE_MAX];
	struct strbuf buf;
	struct view view;

	if (manager.cause_unit >= instance->board.n_units)
		return;
	view_read(instance, manager.cause_unit, &view);
	struct strbuf *line = dump_begin("cause");
	json_add_string(line, "unit", view.name);
	json_add_string(line, "result",
			manager.cause < RESULT_COUNT ? unit_result_names[manager.cause]
						     : "unknown");
	json_add_u64(line, "exit_status", manager.exit_status);
	strbuf_init(&buf, text, sizeof(text));
	strbuf_addf(&buf, "%s ended the instance", view.name);
	if (view.record.result != RESULT_SUCCESS) {
		strbuf_adds(&buf, ": ");
		view_why(instance, &view, &buf);
	}
	json_add_string(line, "msg", text);
	board_read_failure(&instance->board, manager.cause_unit, failure);
	if (view.record.exec_error >= 200 && failure[0])
		json_add_string(line, "setup", failure);
	dump_end(line);
}

void dump_image(const struct instance *instance)
{
	const struct plan *plan = &instance->plan;
	struct strbuf *line = dump_begin("image");
	struct utsname kernel;

	json_add_string(line, "id", plan_string(plan, plan->header->image_id));
	json_add_string(line, "version", plan_string(plan, plan->header->image_version));
	json_add_string(line, "hostname", plan_string(plan, plan->header->hostname));
	json_add_time(line, "boot", plan->header->boot_wall_us);
	json_add_bool(line, "root_proven", plan->header->flags & PLAN_ROOT_PROVEN);
	json_add_bool(line, "pid1", plan->header->flags & PLAN_IS_PID1);
	if (uname(&kernel) == 0) {
		json_add_string(line, "kernel", kernel.release);
		json_add_string(line, "machine", kernel.machine);
	}
	dump_end(line);
}

static void add_environment(struct strbuf *line)
{
	json_key(line, "environment");
	json_object_begin(line);
	for (size_t i = 0; i < ARRAY_COUNT(environment_names); i++) {
		const char *value = getenv(environment_names[i]);
		if (!value)
			continue;
		json_key(line, environment_names[i]);
		json_bytes(line, value, strnlen(value, ENVIRONMENT_VALUE_MAX));
	}
	json_object_end(line);
}

void dump_config(const struct instance *instance)
{
	const struct plan_header *header = instance->plan.header;
	struct board_manager manager = board_read_manager(&instance->board);
	struct strbuf *line = dump_begin("config");

	json_add_string(line, "phase", view_phase(&manager));
	json_add_u64(line, "units", plan_unit_count(&instance->plan));
	add_seconds(line, "stop_timeout_s", header->stop_timeout_us);
	add_seconds(line, "drain_s", header->drain_us);
	json_add_string(line, "log_format", log_format_names[header->log_format]);
	json_add_string(line, "health_detail", detail_names[header->health_detail]);
	json_add_u64(line, "health_listeners", header->n_listen);
	json_add_u64(line, "health_port", header->health_port);
	json_add_u64(line, "ring_bytes", header->ring_bytes);
	json_add_string(line, "run_directory", plan_string(&instance->plan, header->run_directory));
	json_add_string(line, "credentials_directory",
			plan_string(&instance->plan, header->credentials_directory));
	json_add_i64(line, "supervisor_pid", instance->board.header->supervisor_pid);
	json_add_u64(line, "supervisor_starts", instance->board.header->supervisor_starts);
	json_add_u64(line, "stop_signal", manager.signal);
	add_environment(line);
	dump_end(line);
}

void dump_protections(const struct instance *instance, bool is_digest)
{
	struct protection_list list = {.plan = &instance->plan, .gate = instance->gate};
	struct protection protection;

	while (protection_next(&list, &protection)) {
		if (is_digest && protection.level == PROTECTION_FULL)
			continue;
		struct strbuf *line = dump_begin("protection");
		json_add_string(line, "name", protection.name);
		json_add_string(line, "level", protection_level_names[protection.level]);
		json_add_string(line, "rung", protection.rung);
		json_add_string(line, "why", protection.why);
		dump_end(line);
	}
}

void dump_gate(const struct instance *instance, bool is_digest)
{
	if (!instance->gate || (is_digest && gateboard_read_refusal(instance->gate).wall_us == 0))
		return;
	struct strbuf *line = dump_begin("gate");
	view_gate(instance, line);
	dump_end(line);
}

void dump_calls(const struct instance *instance)
{
	const struct plan *plan = &instance->plan;
	struct gate_call call;

	for (uint32_t i = 0; instance->gate && gateboard_read_call(instance->gate, i, &call); i++) {
		struct strbuf *line = dump_begin("refused_call");
		if (call.unit < plan_unit_count(plan))
			json_add_string(line, "unit", plan_unit_name(plan, call.unit));
		json_add_string(line, "call", call.name);
		json_add_u64(line, "count", call.count);
		json_add_bool(line, "killed", call.is_deadly);
		json_add_string(line, "program", call.program);
		json_add_string(line, "allow", call.allow);
		dump_end(line);
	}
}

static void add_relation(const struct instance *instance, const struct view *view,
			 struct strbuf *line, const char *key, enum unit_relation relation)
{
	struct plan_list list = view->unit->relations[relation];

	if (list.count == 0)
		return;
	json_key(line, key);
	json_array_begin(line);
	for (uint32_t i = 0; i < list.count && line->length < OUTPUT_LINE_MAX / 2; i++) {
		json_comma(line);
		json_string(line, plan_unit_name(&instance->plan,
						 plan_list_get(&instance->plan, list, i)));
	}
	json_array_end(line);
}

static void add_run(const struct view *view, struct strbuf *line)
{
	const struct board_unit *record = &view->record;
	char text[64];
	struct strbuf buf;

	json_add_string(line, "result", view->result);
	if (record->flags & BOARD_UNIT_MAIN_EXITED) {
		json_add_i64(line, "exit_code", record->exit_code);
		json_add_i64(line, "exit_status", record->exit_status);
	}
	json_add_i64(line, "exec_error", record->exec_error);
	strbuf_init(&buf, text, sizeof(text));
	view_last_exit(view, &buf);
	json_add_string(line, "last_exit", text);
	json_add_bool(line, "ready", record->flags & BOARD_UNIT_READY);
	json_add_bool(line, "was_active", record->active_us != 0);
	json_add_bool(line, "condition_unmet", record->flags & BOARD_UNIT_CONDITION_UNMET);
	json_add_bool(line, "killed", record->flags & BOARD_UNIT_KILLED);
	json_add_u64(line, "cpu_us", record->cpu_us);
	json_add_u64(line, "max_rss_bytes", record->max_rss_kb * 1024);
}

static bool is_well(const struct view *view)
{
	return view->record.result == RESULT_SUCCESS && view->record.restarts == 0 &&
	       (view->is_up || !view->counts);
}

static void add_calls(struct strbuf *line, const char *key, uint32_t groups)
{
	json_key(line, key);
	json_array_begin(line);
	for (uint32_t i = 0; i < CALL_GROUP_COUNT; i++) {
		if (!(groups & (UINT32_C(1) << i)))
			continue;
		json_comma(line);
		json_string(line, call_group_names[i]);
	}
	json_array_end(line);
}

static void add_sandbox(const struct plan_unit *unit, struct strbuf *line)
{
	if (unit->kind != UNIT_SERVICE)
		return;
	json_add_string(line, "sandbox", unit_sandbox_names[unit->sandbox]);
	json_add_bool(line, "filtered", unit->flags & UNIT_IS_MARKED);
	json_add_bool(line, "no_new_privs", unit->flags & UNIT_NO_NEW_PRIVILEGES);
	add_calls(line, "denied_calls", unit->denied_calls);
	add_calls(line, "allowed_calls", unit->allowed_calls);
}

static void dump_unit(const struct instance *instance, uint32_t unit, bool is_digest)
{
	char text[512];
	struct strbuf buf;
	struct view view;

	view_read(instance, unit, &view);
	if (is_digest && is_well(&view))
		return;
	view_measure(instance, &view);
	struct strbuf *line = dump_begin("unit");
	json_add_string(line, "unit", view.name);
	json_add_string(line, "kind", unit_kind_names[view.unit->kind]);
	json_add_string(line, "service_type", service_type_names[view.unit->type]);
	json_add_string(line, "file", plan_string(&instance->plan, view.unit->file));
	json_add_string(line, "restart", restart_policy_names[view.unit->restart]);
	json_add_bool(line, "wanted", view.counts);
	json_add_bool(line, "essential", view.unit->flags & UNIT_ESSENTIAL);
	json_add_string(line, "state", view.state);
	json_add_bool(line, "up", view.is_up);
	json_add_time(line, "since", view.record.since_wall_us);
	json_add_i64(line, "pid", view.pid);
	json_add_u64(line, "restarts", view.record.restarts);
	if (view.memory_source)
		json_add_u64(line, "memory_bytes", view.memory);
	add_run(&view, line);
	add_sandbox(view.unit, line);
	strbuf_init(&buf, text, sizeof(text));
	view_why(instance, &view, &buf);
	json_add_string(line, "why", text);
	strbuf_init(&buf, text, sizeof(text));
	view_text(instance, &view, &buf);
	json_add_string(line, "text", text);
	add_relation(instance, &view, line, "requires", REL_REQUIRES);
	add_relation(instance, &view, line, "binds_to", REL_BINDS_TO);
	add_relation(instance, &view, line, "after", REL_AFTER);
	dump_end(line);
}

void dump_units(const struct instance *instance, bool is_digest)
{
	for (uint32_t i = 0; i < instance->board.n_units; i++)
		dump_unit(instance, i, is_digest);
}

/* The kind of the source alone: what stands behind it may name what nobody should know of. */
static void add_source(struct strbuf *line, const char *reference)
{
	size_t length = strcspn(reference, ":");

	if (reference[length] != ':')
		return;
	json_key(line, "source");
	json_bytes(line, reference, length);
}

void dump_secrets(const struct instance *instance)
{
	const struct plan *plan = &instance->plan;

	for (uint32_t unit = 0; unit < plan_unit_count(plan); unit++) {
		struct plan_range range = plan_unit(plan, unit)->secrets;
		for (uint32_t i = range.first; i < range.first + range.count; i++) {
			const struct plan_secret *secret = plan_secret(plan, i);
			struct strbuf *line = dump_begin("secret");
			json_add_string(line, "unit", plan_unit_name(plan, unit));
			json_add_string(line, "name", plan_string(plan, secret->name));
			add_source(line, plan_string(plan, secret->reference));
			json_add_string(line, "delivery", delivery_names[secret->delivery]);
			json_add_bool(line, "optional", secret->flags & SECRET_OPTIONAL);
			json_add_bool(line, "secret", !(secret->flags & SECRET_IS_CONFIG));
			secrets_add_state(instance, unit, i, line);
			dump_end(line);
		}
	}
}
