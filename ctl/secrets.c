#include "ctl/secrets.h"

#include <string.h>

#include "ctl/output.h"
#include "ctl/view.h"
#include "lib/clock.h"

static void add_version(const struct board_secret *state, struct strbuf *line)
{
	size_t length = strnlen(state->version, sizeof(state->version));

	if (length == 0)
		return;
	json_key(line, "version");
	json_bytes(line, state->version, length);
}

void secrets_add_state(const struct instance *instance, uint32_t unit, uint32_t secret,
		       struct strbuf *line)
{
	uint32_t first = plan_unit(&instance->plan, unit)->secrets.first;
	struct board_life life = board_read_life(&instance->board, first);
	struct board_secret state = board_read_secret(&instance->board, secret);

	json_add_string(line, "state", board_secret_word(&state, &life));
	add_version(&state, line);
	if (state.fetched_us > 0) {
		json_add_time(line, "fetched", state.fetched_wall_us);
		json_add_u64(line, "bytes", state.length);
	}
	if (state.expires > 0)
		json_add_time(line, "expires", (uint64_t)state.expires * USEC_PER_SEC);
	if (state.lease_s > 0)
		json_add_u64(line, "lease_seconds", state.lease_s);
}

/* The kind of the source: all that the public plan has of a reference. */
static void add_kind(const struct plan *plan, const struct plan_secret *secret, struct strbuf *line)
{
	const char *reference = plan_string(plan, secret->reference);

	json_printable(line, reference, strcspn(reference, ":"));
}

static void print_one(const struct instance *instance, uint32_t unit, uint32_t index)
{
	const struct plan *plan = &instance->plan;
	const struct plan_secret *secret = plan_secret(plan, index);
	struct board_life life =
		board_read_life(&instance->board, plan_unit(plan, unit)->secrets.first);
	struct board_secret state = board_read_secret(&instance->board, index);
	const char *name = plan_string(plan, secret->name);
	struct strbuf *line = output_line();
	uint64_t now = clock_now_us();

	strbuf_addf(line, "%-20s  %-12s  ", name, board_secret_word(&state, &life));
	add_kind(plan, secret, line);
	strbuf_addf(line, " of %s", plan_unit_name(plan, unit));
	if (state.version[0]) {
		strbuf_adds(line, ", version ");
		json_printable(line, state.version, strnlen(state.version, sizeof(state.version)));
	}
	if (state.fetched_us > 0) {
		strbuf_adds(line, ", fetched ");
		view_duration(line, now > state.fetched_us ? now - state.fetched_us : 0);
		strbuf_adds(line, " ago");
	}
	if (state.expires > 0) {
		strbuf_adds(line, ", certificate until ");
		clock_format(line, (uint64_t)state.expires * USEC_PER_SEC);
	}
	output_end();
}

void secrets_print(const struct instance *instance, uint32_t unit, bool *is_first)
{
	struct plan_range range = plan_unit(&instance->plan, unit)->secrets;

	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		if (*is_first) {
			strbuf_adds(output_line(), "");
			output_end();
		}
		*is_first = false;
		print_one(instance, unit, i);
	}
}

void secrets_json(const struct instance *instance, uint32_t unit, bool *is_first)
{
	const struct plan *plan = &instance->plan;
	struct plan_range range = plan_unit(plan, unit)->secrets;

	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		struct strbuf *line = output_line();
		strbuf_adds(line, *is_first ? "" : ",");
		*is_first = false;
		json_object_begin(line);
		json_add_string(line, "unit", plan_unit_name(plan, unit));
		json_add_string(line, "name", plan_string(plan, plan_secret(plan, i)->name));
		secrets_add_state(instance, unit, i, line);
		json_object_end(line);
		output_end();
	}
}
