#include "health/metrics.h"

#include <stdatomic.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/store.h"

/*
 * One function a family, and one table of families that prints HELP and TYPE: the format wants all
 * samples of a family together, so each function walks the units by itself.
 *
 * Everything here comes from the board and its neighbours; nothing is read from /proc or the cgroup
 * tree, since this process opens no file. What a unit's memory is now is the node's to know
 * (cAdvisor, node_exporter). Times are stamps, not ages, so that a rendered text stays true.
 */

/* ---- writing samples */

static void add_label(struct strbuf *buf, const char *key, const char *value)
{
	char last = buf->length > 0 ? buf->data[buf->length - 1] : '\0';

	strbuf_adds(buf, last == '{' ? "" : ",");
	strbuf_adds(buf, key);
	strbuf_adds(buf, "=\"");
	while (*value) {
		size_t run = strcspn(value, "\\\"\n");
		strbuf_add(buf, value, run);
		value += run;
		if (!*value)
			break;
		strbuf_addc(buf, '\\');
		strbuf_addc(buf, *value == '\n' ? 'n' : *value);
		value++;
	}
	strbuf_addc(buf, '"');
}

static void series_begin(struct strbuf *buf, const char *name)
{
	strbuf_adds(buf, name);
	strbuf_addc(buf, '{');
}

static void add_u64(struct strbuf *buf, uint64_t value)
{
	/* Most samples are a state that is, or is not. */
	if (value < 10) {
		strbuf_add(buf, (const char[]){' ', (char)('0' + value), '\n'}, 3);
		return;
	}
	strbuf_addf(buf, " %llu\n", (unsigned long long)value);
}

static void add_seconds(struct strbuf *buf, uint64_t us)
{
	strbuf_addf(buf, " %llu.%06llu\n", (unsigned long long)(us / USEC_PER_SEC),
		    (unsigned long long)(us % USEC_PER_SEC));
}

static void add_plain(struct strbuf *buf, const char *name, uint64_t value)
{
	strbuf_adds(buf, name);
	add_u64(buf, value);
}

/* ---- families */

static const char *unit_type(const struct plan_unit *unit)
{
	return unit->kind == UNIT_SERVICE ? service_type_names[unit->type] : "";
}

/* The wall clock's time of a moment on our own clock, as seen from boot. */
static uint64_t to_wall(const struct plan *plan, uint64_t us)
{
	return plan->header->boot_wall_us + (us - plan->header->boot_us);
}

static void unit_state(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	static const char *const states[] = {"activating", "active", "deactivating", "failed",
					     "inactive"};

	for (uint32_t i = 0; i < snapshot->board.n_units; i++) {
		const struct plan_unit *unit = plan_unit(&snapshot->plan, i);
		struct board_unit state = board_read_unit(&snapshot->board, i);
		const char *active = unit_active_names[state.state % UNIT_STATE_COUNT];
		for (size_t k = 0; k < ARRAY_COUNT(states); k++) {
			series_begin(buf, name);
			add_label(buf, "name", plan_unit_name(&snapshot->plan, i));
			add_label(buf, "state", states[k]);
			add_label(buf, "type", unit_type(unit));
			strbuf_addc(buf, '}');
			add_u64(buf, str_equal(states[k], active));
		}
	}
}

static void unit_start_time(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	for (uint32_t i = 0; i < snapshot->board.n_units; i++) {
		const struct plan_unit *unit = plan_unit(&snapshot->plan, i);
		struct board_unit state = board_read_unit(&snapshot->board, i);
		if (state.started_us == 0)
			continue;
		series_begin(buf, name);
		add_label(buf, "name", plan_unit_name(&snapshot->plan, i));
		add_label(buf, "type", unit_type(unit));
		strbuf_addc(buf, '}');
		add_seconds(buf, to_wall(&snapshot->plan, state.started_us));
	}
}

static void service_restarts(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	for (uint32_t i = 0; i < snapshot->board.n_units; i++) {
		if (plan_unit(&snapshot->plan, i)->kind != UNIT_SERVICE)
			continue;
		struct board_unit state = board_read_unit(&snapshot->board, i);
		series_begin(buf, name);
		add_label(buf, "name", plan_unit_name(&snapshot->plan, i));
		strbuf_addc(buf, '}');
		add_u64(buf, state.restarts);
	}
}

/* ---- secrets: a sample for each unit that has some, but for certificates */

typedef void life_sample(const struct plan *plan, const struct board_life *life,
			 struct strbuf *buf);

static void each_life(struct snapshot *snapshot, const char *name, struct strbuf *buf,
		      life_sample *sample)
{
	for (uint32_t i = 0; i < snapshot->board.n_units; i++) {
		struct plan_range range = plan_unit(&snapshot->plan, i)->secrets;
		if (range.count == 0)
			continue;
		struct board_life life = board_read_life(&snapshot->board, range.first);
		series_begin(buf, name);
		add_label(buf, "name", plan_unit_name(&snapshot->plan, i));
		strbuf_addc(buf, '}');
		sample(&snapshot->plan, &life, buf);
	}
}

static void sample_stale(const struct plan *plan, const struct board_life *life, struct strbuf *buf)
{
	(void)plan;
	add_u64(buf, (life->flags & (LIFE_STALE | LIFE_KEPT)) != 0);
}

static void sample_fetched(const struct plan *plan, const struct board_life *life,
			   struct strbuf *buf)
{
	add_seconds(buf, life->fetched_us ? to_wall(plan, life->fetched_us) : 0);
}

static void sample_failures(const struct plan *plan, const struct board_life *life,
			    struct strbuf *buf)
{
	(void)plan;
	add_u64(buf, life->failures);
}

static void secret_stale(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	each_life(snapshot, name, buf, sample_stale);
}

static void secret_fetched(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	each_life(snapshot, name, buf, sample_fetched);
}

static void secret_failures(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	each_life(snapshot, name, buf, sample_failures);
}

/* A secret without a name of its own is a path, of which several may be in a unit. */
static void secret_expiry(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	const struct plan *plan = &snapshot->plan;

	for (uint32_t unit = 0; unit < snapshot->board.n_units; unit++) {
		struct plan_range range = plan_unit(plan, unit)->secrets;
		for (uint32_t i = range.first; i < range.first + range.count; i++) {
			struct board_secret state = board_read_secret(&snapshot->board, i);
			if (state.expires <= 0 || (plan_secret(plan, i)->flags & SECRET_IS_PATH))
				continue;
			series_begin(buf, name);
			add_label(buf, "name", plan_unit_name(plan, unit));
			add_label(buf, "secret", plan_string(plan, plan_secret(plan, i)->name));
			strbuf_addc(buf, '}');
			add_u64(buf, (uint64_t)state.expires);
		}
	}
}

static void is_ready(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	add_plain(buf, name, snapshot_is_ready(snapshot));
}

static void phase(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	struct board_manager manager = board_read_manager(&snapshot->board);

	for (uint32_t i = 0; i < BOARD_PHASE_COUNT; i++) {
		series_begin(buf, name);
		add_label(buf, "phase", board_phase_names[i]);
		strbuf_addc(buf, '}');
		add_u64(buf, i == manager.phase);
	}
}

/* The same series twice would spoil the whole scrape. */
static bool is_told_before(struct protection_list list, uint32_t i, const char *name)
{
	struct protection earlier;

	list.next = 0;
	while (list.next < i && protection_next(&list, &earlier)) {
		if (str_equal(earlier.name, name))
			return true;
	}
	return false;
}

static void protection(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	static const uint64_t values[PROTECTION_COUNT] = {
		[PROTECTION_FULL] = 2,
		[PROTECTION_REDUCED] = 1,
		[PROTECTION_NONE] = 0,
	};
	struct protection_list list = {.plan = &snapshot->plan, .gate = snapshot->gate};
	struct protection p;

	while (protection_next(&list, &p)) {
		if (is_told_before(list, list.next - 1, p.name))
			continue;
		series_begin(buf, name);
		add_label(buf, "protection", p.name);
		add_label(buf, "rung", p.rung);
		strbuf_addc(buf, '}');
		add_u64(buf, values[p.level % PROTECTION_COUNT]);
	}
}

static void refusals(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	for (enum gate_counter i = 0; snapshot->gate && i < GATE_COUNTER_COUNT; i++) {
		series_begin(buf, name);
		add_label(buf, "outcome", gate_counter_names[i]);
		strbuf_addc(buf, '}');
		add_u64(buf, gateboard_count(snapshot->gate, i));
	}
}

static void refused_calls(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	const struct plan *plan = &snapshot->plan;
	struct gate_call call;

	for (uint32_t i = 0; snapshot->gate && gateboard_read_call(snapshot->gate, i, &call); i++) {
		bool is_of_unit = call.unit < plan_unit_count(plan);
		series_begin(buf, name);
		add_label(buf, "unit", is_of_unit ? plan_unit_name(plan, call.unit) : "");
		add_label(buf, "call", call.name);
		add_label(buf, "outcome", call.is_deadly ? "killed" : "failed");
		strbuf_addc(buf, '}');
		add_u64(buf, call.count);
	}
}

static void deaths(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	/* PID 1's own death ends all of this; ctl and secrets end because they are done. */
	static const enum role roles[] = {ROLE_SUPERVISOR, ROLE_LOG, ROLE_HEALTH, ROLE_GATE};

	for (size_t i = 0; i < ARRAY_COUNT(roles); i++) {
		series_begin(buf, name);
		add_label(buf, "process", role_programs[roles[i]]);
		strbuf_addc(buf, '}');
		add_u64(buf, atomic_load(&snapshot->journal->deaths[roles[i]]));
	}
}

static void journal_lag(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	struct board_manager manager = board_read_manager(&snapshot->board);
	uint64_t head = atomic_load(&snapshot->journal->head);

	add_plain(buf, name, head > manager.cursor ? head - manager.cursor : 0);
}

static void boot_time(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	strbuf_adds(buf, name);
	add_seconds(buf, snapshot->plan.header->boot_wall_us);
}

static void ready_time(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	struct board_manager manager = board_read_manager(&snapshot->board);

	if (manager.ready_us == 0)
		return;
	strbuf_adds(buf, name);
	add_seconds(buf, to_wall(&snapshot->plan, manager.ready_us));
}

static void log_lines(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	const struct ring *ring = snapshot_ring(snapshot);

	if (ring)
		add_plain(buf, name, atomic_load(&ring->header->last_seq));
}

static void log_dropped(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	const struct ring *ring = snapshot_ring(snapshot);

	if (ring)
		add_plain(buf, name, ring_dropped(ring));
}

static void log_hidden(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	const struct ring *ring = snapshot_ring(snapshot);

	if (ring)
		add_plain(buf, name, atomic_load(&ring->header->n_hidden));
}

static void log_pending(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	const struct ring *ring = snapshot_ring(snapshot);

	if (!ring)
		return;
	uint64_t emitted = ring_read_emission(ring).seq,
		 last = atomic_load(&ring->header->last_seq);
	add_plain(buf, name, last > emitted ? last - emitted : 0);
}

static void build_info(struct snapshot *snapshot, const char *name, struct strbuf *buf)
{
	const struct plan *plan = &snapshot->plan;

	series_begin(buf, name);
	add_label(buf, "version", HOLDFAST_VERSION);
	add_label(buf, "image_id", plan_string(plan, plan->header->image_id));
	add_label(buf, "image_version", plan_string(plan, plan->header->image_version));
	strbuf_adds(buf, "} 1\n");
}

static const struct family {
	const char *name, *type, *help;
	void (*render)(struct snapshot *snapshot, const char *name, struct strbuf *buf);
} families[] = {
	{"holdfast_build_info", "gauge", "Versions of holdfast and of the image; always 1.",
	 build_info},
	{"holdfast_boot_time_seconds", "gauge", "When this instance started, in Unix time.",
	 boot_time},
	{"holdfast_ready_time_seconds", "gauge", "When startup was complete, in Unix time.",
	 ready_time},
	{"holdfast_phase", "gauge", "The instance's phase: 1 for the one that it is in.", phase},
	{"holdfast_ready", "gauge", "Whether /readyz would say ok.", is_ready},
	{"holdfast_protection_level", "gauge",
	 "How far a promise is kept here: 2 in full, 1 by a lesser means, 0 not at all.",
	 protection},
	{"holdfast_gate_refusals_total", "counter",
	 "Who came from outside: executions denied, processes killed, only reported, or out of reach.",
	 refusals},
	{"holdfast_refused_calls_total", "counter",
	 "System calls that the filter of a unit refused; unit is empty where nobody can tell whose.",
	 refused_calls},
	{"holdfast_process_deaths_total", "counter",
	 "Unexpected ends of holdfast's own processes since boot.", deaths},
	{"holdfast_journal_lag_entries", "gauge",
	 "Exits and signals that the supervisor has not applied yet.", journal_lag},
	{"holdfast_log_lines_total", "counter", "Lines taken in from services.", log_lines},
	{"holdfast_log_dropped_lines_total", "counter",
	 "Lines that never reached the output because its reader was too slow.", log_dropped},
	{"holdfast_log_scrubbed_total", "counter",
	 "Values of secrets that services printed and that were hidden.", log_hidden},
	{"holdfast_log_pending_lines", "gauge", "Lines taken in and not yet written out.",
	 log_pending},
	{"holdfast_secret_stale", "gauge",
	 "Whether a unit runs with values that are older than what is known, or could not be looked "
	 "at.",
	 secret_stale},
	{"holdfast_secret_fetched_time_seconds", "gauge",
	 "When a unit's secrets were last fetched or found unchanged, in Unix time; 0 never.",
	 secret_fetched},
	{"holdfast_secret_fetch_failures_total", "counter",
	 "Tries to have a unit's secrets that failed, at least in part.", secret_failures},
	{"holdfast_secret_certificate_expiry_time_seconds", "gauge",
	 "When the first certificate in a secret ends, in Unix time.", secret_expiry},
	{"node_systemd_unit_state", "gauge", "The unit's state: 1 for the one that it is in.",
	 unit_state},
	{"node_systemd_unit_start_time_seconds", "gauge",
	 "When the unit's main process was last started, in Unix time.", unit_start_time},
	{"systemd_service_restart_total", "counter", "How often the service was restarted.",
	 service_restarts},
};

size_t metrics_bound(const struct snapshot *snapshot)
{
	const struct plan *plan = &snapshot->plan;
	/* A value, labels and the family's name take less than 160 bytes a line; escapes double. */
	size_t bound = ARRAY_COUNT(families) * 512 + 32 * 160 +
		       2 * strlen(plan_string(plan, plan->header->image_id)) +
		       2 * strlen(plan_string(plan, plan->header->image_version));

	size_t longest = 0;

	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		size_t length = strlen(plan_unit_name(plan, i));
		bound += (10 + plan_unit(plan, i)->secrets.count) * (160 + 2 * length);
		longest = MAX(longest, length);
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_SECRETS); i++)
		bound += 2 * strlen(plan_string(plan, plan_secret(plan, i)->name));
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_PROTECTIONS); i++) {
		const struct plan_protection *p = plan_protection(plan, i);
		bound += 160 + 2 * strlen(plan_string(plan, p->name)) +
			 2 * strlen(plan_string(plan, p->rung));
	}
	return bound + GATE_HALF_COUNT * (160 + 2 * (GATE_RUNG_MAX + 64)) +
	       GATE_COUNTER_COUNT * 160 + GATE_CALLS_MAX * (160 + 2 * (longest + GATE_CALL_NAME));
}

/* A family without samples is left out, its HELP included. */
static void render_family(struct snapshot *snapshot, const struct family *family,
			  struct strbuf *buf)
{
	size_t start = buf->length;

	strbuf_addf(buf, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help, family->name,
		    family->type);
	size_t samples = buf->length;
	family->render(snapshot, family->name, buf);
	if (buf->length == samples) {
		buf->length = start;
		buf->data[start] = '\0';
	}
}

void metrics_render(struct snapshot *snapshot, struct strbuf *buf)
{
	for (size_t i = 0; i < ARRAY_COUNT(families); i++)
		render_family(snapshot, &families[i], buf);
}
