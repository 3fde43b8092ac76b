/* TESTS: lib/plan.c tests/support/planbuild.c */
/*
 * A damaged plan: what plan_open lets pass can be walked to its last entry without leaving the block
 * (which lies in memory of exactly its size, so that a step outside is seen).
 *
 * The input is a list of patches on a good plan that has a record of every section, so that a corpus
 * means the same to every layout: {where: 2 bytes, counted in words of 4; value: 4 bytes}. WHERE_CUT
 * cuts the block there and has its header say so.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/plan.h"
#include "tests/support/planbuild.h"

#define WHERE_CUT 0xffff

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static unsigned char *good;
static size_t good_size;

static size_t sum;

static void touch(const struct plan *plan, plan_str s)
{
	sum += strlen(plan_string(plan, s));
}

static void touch_list(const struct plan *plan, struct plan_list list, bool is_strings)
{
	for (uint32_t i = 0; i < list.count; i++) {
		uint32_t value = plan_list_get(plan, list, i);
		sum += value;
		/* Lists may share their entries, so that a small block can mean a long walk. */
		if (is_strings && i < 64)
			touch(plan, value);
	}
}

static void touch_execs(const struct plan *plan, struct plan_range range)
{
	for (uint32_t i = 0; i < range.count && i < 64; i++) {
		const struct plan_exec *exec = plan_exec(plan, range.first + i);
		touch(plan, exec->path);
		touch_list(plan, exec->argv, true);
	}
}

static void touch_unit(const struct plan *plan, const struct plan_unit *unit)
{
	touch(plan, unit->name);
	touch(plan, unit->description);
	touch(plan, unit->working_directory);
	touch_list(plan, unit->environment, true);
	touch_list(plan, unit->groups, false);
	for (int i = 0; i < UNIT_RELATION_COUNT; i++) {
		for (uint32_t j = 0; j < unit->relations[i].count && j < 64; j++)
			touch(plan,
			      plan_unit(plan, plan_list_get(plan, unit->relations[i], j))->name);
	}
	for (int i = 0; i < EXEC_PHASE_COUNT; i++)
		touch_execs(plan, unit->exec[i]);
	for (enum probe_kind kind = 0; kind < PROBE_KIND_COUNT && unit->probes.count < 64; kind++) {
		const struct plan_probe *probe = plan_unit_probe(plan, unit, kind);
		touch(plan, probe->target);
		touch_execs(plan, probe->exec);
	}
	for (uint32_t i = 0; i < unit->limits.count && i < 64; i++)
		(void)plan_limit(plan, unit->limits.first + i)->soft;
	(void)plan_status_has(&plan_unit_statuses(plan, unit)->success, CLD_EXITED, 1);
	for (uint32_t i = 0; i < unit->secrets.count; i++)
		touch(plan, plan_secret(plan, unit->secrets.first + i)->reference);
	for (uint32_t i = 0; i < unit->templates.count; i++)
		touch(plan, plan_template(plan, unit->templates.first + i)->source);
	for (uint32_t i = 0; i < unit->conditions.count; i++)
		touch(plan, plan_condition(plan, unit->conditions.first + i)->parameter);
	for (uint32_t i = 0; i < unit->directories.count; i++)
		touch(plan, plan_directory(plan, unit->directories.first + i)->path);
	for (uint32_t i = 0; i < unit->scratch.count; i++)
		touch(plan, plan_scratch(plan, unit->scratch.first + i)->path);
	for (uint32_t i = 0; i < unit->shared_rules.count; i++)
		touch(plan, plan_rule(plan, unit->shared_rules.first + i)->path);
	for (uint32_t i = 0; i < unit->rules.count; i++)
		touch(plan, plan_rule(plan, unit->rules.first + i)->path);
	touch(plan, 0);
	sum += strlen(unit_kind_names[unit->kind]) + strlen(service_type_names[unit->type]) +
	       strlen(restart_policy_names[unit->restart]) +
	       strlen(kill_mode_names[unit->kill_mode]);
}

static void add_unit_records(struct planbuild *build, struct plan_unit *unit, plan_str text)
{
	struct plan_condition *condition =
		planbuild_record(build, PLAN_CONDITIONS, &unit->conditions.first);
	struct plan_directory *directory =
		planbuild_record(build, PLAN_DIRECTORIES, &unit->directories.first);
	struct plan_scratch *scratch = planbuild_record(build, PLAN_SCRATCH, &unit->scratch.first);
	struct plan_secret *secret = planbuild_record(build, PLAN_SECRETS, &unit->secrets.first);
	struct plan_template *template =
		planbuild_record(build, PLAN_TEMPLATES, &unit->templates.first);
	struct plan_limit *limit = planbuild_record(build, PLAN_LIMITS, &unit->limits.first);
	struct plan_rule *rule = planbuild_record(build, PLAN_RULES, &unit->rules.first);
	struct plan_statuses *statuses =
		planbuild_record(build, PLAN_STATUSES, &unit->statuses.first);

	*condition = (struct plan_condition){.parameter = text, .text = text};
	*directory = (struct plan_directory){.type = DIRECTORY_STATE, .path = text};
	*scratch = (struct plan_scratch){.path = text, .size_bytes = 4096};
	*secret = (struct plan_secret){.name = text, .reference = text, .file = text};
	*template = (struct plan_template){.target = text, .source = text};
	*limit = (struct plan_limit){.soft = 1, .hard = 2, .resource = 7};
	*rule = (struct plan_rule){.path = text, .rights = RULE_READ};
	unit->shared_rules.first = unit->rules.first;
	*statuses = (struct plan_statuses){.success = {.statuses = {1}, .signals = 1}};
	unit->conditions.count = unit->directories.count = unit->scratch.count = 1;
	unit->secrets.count = unit->templates.count = unit->limits.count = 1;
	unit->rules.count = unit->shared_rules.count = unit->statuses.count = 1;
}

static void add_probes(struct planbuild *build, struct plan_unit *unit, plan_str text)
{
	for (uint32_t kind = 0; kind < PROBE_KIND_COUNT; kind++) {
		uint32_t index;
		struct plan_probe *probe = planbuild_record(build, PLAN_PROBES, &index);
		*probe = (struct plan_probe){.kind = kind, .type = PROBE_HTTP, .target = text};
		unit->probes.first = unit->probes.count++ ? unit->probes.first : index;
	}
}

static void add_instance_records(struct planbuild *build, uint32_t socket, plan_str text)
{
	struct plan_socket *listener = planbuild_record(build, PLAN_SOCKETS, NULL);
	struct plan_protection *protection = planbuild_record(build, PLAN_PROTECTIONS, NULL);

	*listener = (struct plan_socket){.unit = socket, .address = text, .fd_name = text};
	*protection = (struct plan_protection){.name = text, .rung = text, .why = text};
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const words[] = {"/usr/bin/app", "A=1", NULL};
	const uint32_t others[] = {0, 1};
	struct planbuild build;
	struct plan plan;
	uint32_t socket, app;
	void *block;

	(void)argc;
	(void)argv;
	planbuild_init(&build);
	plan_str text = planbuild_text(&build, "text");
	planbuild_unit(&build, "app.socket", &socket)->kind = UNIT_SOCKET;
	(void)planbuild_unit(&build, "app.service", &app);
	for (enum exec_phase phase = 0; phase < EXEC_PHASE_COUNT; phase++)
		planbuild_exec(&build, app, phase, words, 0);
	struct plan_unit *unit = (struct plan_unit *)(void *)build.records[PLAN_UNITS] + app;
	unit->environment = planbuild_texts(&build, words);
	unit->groups = planbuild_list(&build, others, 2);
	for (int i = 0; i < UNIT_RELATION_COUNT; i++)
		unit->relations[i] = planbuild_list(&build, others, 2);
	add_unit_records(&build, unit, text);
	add_probes(&build, unit, text);
	add_instance_records(&build, socket, text);
	planbuild_finish(&build, &block, &good_size, &plan);
	good = block;
	for (int i = 0; i < PLAN_SECTION_COUNT; i++) {
		if (plan.header->sections[i].count == 0)
			abort();
	}
	return 0;
}

static void patch(unsigned char *block, size_t *size, const uint8_t *data, size_t n)
{
	for (; n >= 6; data += 6, n -= 6) {
		size_t where = (size_t)(data[0] << 8 | data[1]);
		uint32_t value;
		memcpy(&value, data + 2, sizeof(value));
		if (where == WHERE_CUT && *size >= sizeof(struct plan_header)) {
			uint64_t less = value % *size;
			*size = (size_t)less;
			if (less >= sizeof(struct plan_header))
				memcpy(block + offsetof(struct plan_header, size), &less,
				       sizeof(less));
		} else if (*size >= 4) {
			memcpy(block + where % (*size / 4) * 4, &value, sizeof(value));
		}
	}
}

static void walk(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_unit_count(plan) && i < 16; i++)
		touch_unit(plan, plan_unit(plan, i));
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_SOCKETS); i++) {
		touch(plan, plan_socket(plan, i)->address);
		sum += plan_unit(plan, plan_socket(plan, i)->unit)->kind;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_PROTECTIONS); i++)
		touch(plan, plan_protection(plan, i)->why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned char *patched = malloc(good_size), *block;
	size_t block_size = good_size;
	struct plan plan;

	memcpy(patched, good, good_size);
	patch(patched, &block_size, data, size);
	block = malloc(block_size ? block_size : 1);
	memcpy(block, patched, block_size);
	free(patched);
	if (plan_open(block, block_size, &plan) == 0)
		walk(&plan);
	free(block);
	return 0;
}
