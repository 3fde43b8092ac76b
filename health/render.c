#include "health/render.h"

#include <string.h>

#include "lib/json.h"

/* ---- /health */

/* json.c writes at most six bytes for one of text. */
#define JSON_FACTOR 6
#define CHECK_FIXED 512

static size_t json_bound(const char *text)
{
	return JSON_FACTOR * strlen(text);
}

size_t render_health_bound(const struct snapshot *snapshot)
{
	const struct plan *plan = &snapshot->plan;
	size_t bound = 4096 + json_bound(plan_string(plan, plan->header->image_id)) +
		       json_bound(plan_string(plan, plan->header->image_version));

	for (uint32_t i = 0; i < plan_unit_count(plan); i++)
		bound += 2 * (CHECK_FIXED + 2 * json_bound(plan_unit_name(plan, i))) +
			 JSON_FACTOR * BOARD_TEXT_MAX;
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_PROTECTIONS); i++) {
		const struct plan_protection *protection = plan_protection(plan, i);
		bound += CHECK_FIXED + 2 * json_bound(plan_string(plan, protection->name)) +
			 json_bound(plan_string(plan, protection->rung)) +
			 json_bound(plan_string(plan, protection->why));
	}
	return bound +
	       GATE_HALF_COUNT * (CHECK_FIXED + JSON_FACTOR * (GATE_RUNG_MAX + GATE_WHY_MAX + 64));
}

/* "name:measure":[{…: the key, and the element up to its status */
static void check_begin(struct strbuf *buf, const char *name, const char *measure)
{
	char key[BOARD_TEXT_MAX * 4];
	struct strbuf text;

	strbuf_init(&text, key, sizeof(key));
	strbuf_addf(&text, "%s:%s", name, measure);
	json_key(buf, key);
	json_array_begin(buf);
	json_object_begin(buf);
	json_add_string(buf, "componentId", name);
}

/* output stands only where there is something to say (draft, section 4.9). */
static void check_end(struct strbuf *buf, enum health_status status, const char *output)
{
	json_add_string(buf, "status", health_status_names[status]);
	if (status != HEALTH_PASS && *output)
		json_add_string(buf, "output", output);
	json_object_end(buf);
	json_array_end(buf);
}

static void add_phase(const struct snapshot *snapshot, struct strbuf *buf)
{
	struct board_manager manager = board_read_manager(&snapshot->board);
	bool is_running = snapshot_is_started(&manager) && !snapshot_is_stopping(&manager);

	check_begin(buf, "instance", "phase");
	json_add_string(buf, "componentType", "system");
	json_add_string(buf, "observedValue",
			board_phase_names[manager.phase < BOARD_PHASE_COUNT ? manager.phase : 0]);
	check_end(buf, is_running ? HEALTH_PASS : HEALTH_FAIL, "");
}

static void unit_output(const struct board_unit_record *record, const struct board_unit *state,
			struct strbuf *buf)
{
	if (state->result != RESULT_SUCCESS && state->result < RESULT_COUNT)
		strbuf_adds(buf, unit_result_names[state->result]);
	size_t length = strnlen(record->text, BOARD_TEXT_MAX);
	if (length > 0) {
		strbuf_adds(buf, buf->length > 0 ? ": " : "");
		strbuf_add(buf, record->text, length);
	}
}

static void add_unit(const struct snapshot *snapshot, const struct board_manager *manager,
		     uint32_t i, struct strbuf *buf)
{
	struct board_unit state = board_read_unit(&snapshot->board, i);
	char output[BOARD_TEXT_MAX * 2];
	struct strbuf text;

	strbuf_init(&text, output, sizeof(output));
	unit_output(&snapshot->board.units[i], &state, &text);
	check_begin(buf, plan_unit_name(&snapshot->plan, i), "state");
	json_add_string(buf, "componentType", "component");
	json_add_string(buf, "observedValue",
			state.state < UNIT_STATE_COUNT ? unit_state_names[state.state] : "unknown");
	json_add_time(buf, "time", state.since_wall_us);
	check_end(buf, snapshot_judge(manager, plan_unit(&snapshot->plan, i), &state), output);
}

/* In a word that of the worst. */
static void add_secrets(const struct snapshot *snapshot, uint32_t i, struct strbuf *buf)
{
	const struct plan_unit *unit = plan_unit(&snapshot->plan, i);
	struct board_life life = board_read_life(&snapshot->board, unit->secrets.first);
	const char *why;
	enum health_status status = snapshot_judge_secrets(snapshot, i, &why);

	check_begin(buf, plan_unit_name(&snapshot->plan, i), "secrets");
	json_add_string(buf, "componentType", "component");
	json_add_string(buf, "observedValue",
			life.flags & LIFE_KEPT	  ? "kept"
			: life.flags & LIFE_STALE ? "stale"
			: life.fetches > 0	  ? "fresh"
						  : "waiting");
	if (life.fetched_us > 0)
		json_add_time(buf, "time", life.fetched_wall_us);
	check_end(buf, status, why ? why : "");
}

static void add_protections(const struct snapshot *snapshot, struct strbuf *buf)
{
	struct protection_list list = snapshot_protections(snapshot);
	struct protection protection;

	while (protection_next(&list, &protection)) {
		check_begin(buf, protection.name, "protection");
		json_add_string(buf, "componentType", "system");
		json_add_string(buf, "observedValue", protection.rung);
		check_end(buf, snapshot_judge_protection(snapshot, &protection), protection.why);
	}
}

static void add_log(struct snapshot *snapshot, struct strbuf *buf)
{
	const struct ring *ring = snapshot_ring(snapshot);

	if (!ring)
		return;
	uint64_t dropped = ring_dropped(ring);
	check_begin(buf, "log", "dropped");
	json_add_string(buf, "componentType", "system");
	json_add_u64(buf, "observedValue", dropped);
	json_add_string(buf, "observedUnit", "lines");
	check_end(buf, dropped > 0 ? HEALTH_WARN : HEALTH_PASS,
		  "lines were lost because nobody read the output fast enough");
}

static void add_checks(struct snapshot *snapshot, struct strbuf *buf)
{
	const struct plan *plan = &snapshot->plan;
	struct board_manager manager = board_read_manager(&snapshot->board);

	json_key(buf, "checks");
	json_object_begin(buf);
	add_phase(snapshot, buf);
	for (uint32_t i = 0; i < snapshot->board.n_units; i++)
		add_unit(snapshot, &manager, i, buf);
	for (uint32_t i = 0; i < snapshot->board.n_units; i++) {
		if (plan_unit(plan, i)->secrets.count > 0)
			add_secrets(snapshot, i, buf);
	}
	add_protections(snapshot, buf);
	add_log(snapshot, buf);
	json_object_end(buf);
}

static void add_optional(struct strbuf *buf, const char *key, const char *value)
{
	if (*value)
		json_add_string(buf, key, value);
}

void render_health(struct snapshot *snapshot, struct strbuf *buf)
{
	const struct plan *plan = &snapshot->plan;

	json_object_begin(buf);
	json_add_string(buf, "status", health_status_names[snapshot_verdict(snapshot)->status]);
	json_add_string(buf, "version", HOLDFAST_VERSION);
	add_optional(buf, "releaseId", plan_string(plan, plan->header->image_version));
	add_optional(buf, "serviceId", plan_string(plan, plan->header->image_id));
	add_checks(snapshot, buf);
	json_object_end(buf);
	strbuf_addc(buf, '\n');
}

/* ---- the probes' lists */

size_t render_checks_bound(const struct snapshot *snapshot)
{
	size_t bound = 1024;

	for (uint32_t i = 0; i < plan_unit_count(&snapshot->plan); i++)
		bound += 32 + strlen(plan_unit_name(&snapshot->plan, i));
	return bound;
}

/* One check: a line, and whether it leaves the result as it is. */
static bool check(const struct http_request *request, struct strbuf *buf, const char *name,
		  bool is_ok)
{
	bool is_excluded = http_query_is(request, "exclude", name);

	if (buf)
		strbuf_addf(buf, "[%c]%s %s\n", is_ok || is_excluded ? '+' : '-', name,
			    is_excluded ? "excluded: ok"
			    : is_ok	? "ok"
					: "failed");
	return is_ok || is_excluded;
}

static bool finish(struct strbuf *buf, const char *name, bool is_ok)
{
	if (buf)
		strbuf_addf(buf, "%s check %s\n", name, is_ok ? "passed" : "failed");
	return is_ok;
}

/* The units one by one: true when all that are not excluded are up. */
static bool check_units(const struct snapshot *snapshot, const struct http_request *request,
			struct strbuf *buf)
{
	bool is_ok = true;

	for (uint32_t i = 0; i < snapshot->board.n_units; i++) {
		const struct plan_unit *unit = plan_unit(&snapshot->plan, i);
		struct board_unit state = board_read_unit(&snapshot->board, i);
		if (snapshot_counts(unit))
			is_ok &= check(request, buf, plan_unit_name(&snapshot->plan, i),
				       snapshot_is_up(unit, &state));
	}
	return is_ok;
}

bool render_readyz(struct snapshot *snapshot, const struct http_request *request, bool with_units,
		   struct strbuf *buf)
{
	const struct verdict *verdict = snapshot_verdict(snapshot);
	bool is_ok = check(request, buf, "startup", verdict->is_started);

	is_ok &= check(request, buf, "shutdown", !verdict->is_stopping);
	bool are_units_up = check_units(snapshot, request, with_units ? buf : NULL);
	is_ok &= check(request, buf, "units", are_units_up);
	return finish(buf, "readyz", is_ok);
}

bool render_startupz(struct snapshot *snapshot, const struct http_request *request,
		     struct strbuf *buf)
{
	return finish(buf, "startupz",
		      check(request, buf, "startup", snapshot_verdict(snapshot)->is_started));
}

bool render_livez(bool init_answered, bool supervisor_answered, const struct http_request *request,
		  struct strbuf *buf)
{
	bool is_ok = check(request, buf, "init", init_answered);

	is_ok &= check(request, buf, "supervisor", supervisor_answered);
	return finish(buf, "livez", is_ok);
}
