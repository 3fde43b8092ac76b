/*
 * Sections grow side by side, each in one run of an arena, and are laid out behind the header in
 * the end. What the public plan leaves out is decided where it would be written, at one place each:
 * environments, references, arguments.
 */
#include "units/writer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/reference.h"
#include "lib/str.h"
#include "units/sandbox.h"

#define PLAN_BYTES_MAX (256U << 20)
/* Of cpu.max: systemd's default, and the least that the kernel takes. */
#define CPU_PERIOD_US	 UINT64_C(100000)
#define CPU_QUOTA_MIN_US UINT64_C(1000)

struct section {
	char *data;
	size_t count, capacity;
};

struct writer {
	const struct units *units;
	const struct units_facts *facts;
	bool is_public;
	struct arena arena;
	struct section sections[PLAN_SECTION_COUNT];
	struct plan_range *rule_lists; /* those that differ */
	size_t n_rule_lists, rule_capacity;
	const char *credentials; /* of the unit that is written; NULL: there are no files */
};

static void *add_record(struct writer *w, enum plan_section section)
{
	struct section *s = &w->sections[section];
	size_t size = plan_record_sizes[section];

	s->data = arena_grow(&w->arena, s->data, s->count, &s->capacity, size);
	void *record = s->data + s->count++ * size;
	memset(record, 0, size);
	return record;
}

static plan_str add_bytes(struct writer *w, const char *text, size_t length)
{
	struct section *s = &w->sections[PLAN_STRINGS];
	size_t first = s->count;

	if (length == 0 && first > 0)
		return 0;
	while (s->capacity - s->count < length + 1) {
		/* Doubles: arena_grow grows what is full. */
		s->data = arena_grow(&w->arena, s->data, s->capacity, &s->capacity, 1);
	}
	memcpy(s->data + first, text, length);
	s->data[first + length] = '\0';
	s->count += length + 1;
	return (plan_str)first;
}

static plan_str add_string(struct writer *w, const char *text)
{
	return text ? add_bytes(w, text, strlen(text)) : 0;
}

/* With what only boot knows where its byte stands. */
static plan_str add_text(struct writer *w, const char *text)
{
	static const char bytes[] = {UNIT_BYTE_CREDENTIALS, UNIT_BYTE_NOTIFY, '\0'};
	const char *notify = w->facts->notify_address;
	struct text out = {.arena = &w->arena};

	if (!text || !strpbrk(text, bytes))
		return add_string(w, text);
	for (; *text; text++) {
		if (*text == UNIT_BYTE_CREDENTIALS)
			text_adds(&out, w->credentials ? w->credentials : "");
		else if (*text == UNIT_BYTE_NOTIFY)
			text_adds(&out, notify ? notify : "");
		else
			text_addc(&out, *text);
	}
	return add_string(w, text_end(&out));
}

static struct plan_list add_list(struct writer *w, const uint32_t *items, size_t count)
{
	struct plan_list list = {(uint32_t)w->sections[PLAN_LISTS].count, (uint32_t)count};

	for (size_t i = 0; i < count; i++)
		*(uint32_t *)add_record(w, PLAN_LISTS) = items[i];
	return list;
}

static struct plan_range begin_range(const struct writer *w, enum plan_section section)
{
	return (struct plan_range){.first = (uint32_t)w->sections[section].count};
}

/* ---------------------------------------------------------------- parts of a unit */

static struct plan_list add_arguments(struct writer *w, const struct exec_line *line)
{
	size_t count = w->is_public ? 1 : line->words.count;
	uint32_t *offsets = arena_alloc(&w->arena, count * sizeof(*offsets));

	for (size_t i = 0; i < count; i++)
		offsets[i] = w->is_public ? add_string(w, str_base_name(line->path))
					  : add_text(w, line->words.items[i]);
	return add_list(w, offsets, count);
}

static struct plan_range add_execs(struct writer *w, const struct exec_lines *lines)
{
	struct plan_range range = begin_range(w, PLAN_EXECS);

	for (size_t i = 0; i < lines->count; i++) {
		const struct exec_line *line = &lines->items[i];
		struct plan_exec exec = {
			.path = add_text(w, line->path),
			.argv = add_arguments(w, line),
			.flags = line->flags,
		};
		*(struct plan_exec *)add_record(w, PLAN_EXECS) = exec;
	}
	range.count = (uint32_t)lines->count;
	return range;
}

static struct plan_range add_conditions(struct writer *w, const struct conditions *list)
{
	struct plan_range range = begin_range(w, PLAN_CONDITIONS);

	for (size_t i = 0; i < list->count; i++) {
		struct plan_condition condition = {
			.type = list->items[i].type,
			.flags = list->items[i].flags,
			.parameter = add_text(w, list->items[i].parameter),
			.text = add_string(w, list->items[i].text),
		};
		*(struct plan_condition *)add_record(w, PLAN_CONDITIONS) = condition;
	}
	range.count = (uint32_t)list->count;
	return range;
}

static struct plan_range add_directories(struct writer *w, const struct unit *unit)
{
	struct plan_range range = begin_range(w, PLAN_DIRECTORIES);

	for (uint32_t type = 0; type < DIRECTORY_TYPE_COUNT; type++) {
		for (size_t i = 0; i < unit->directories[type].count; i++) {
			struct plan_directory directory = {
				.type = type,
				.mode = unit->directory_modes[type],
				.path = add_text(w, unit->directories[type].items[i].text),
				.keep = type == DIRECTORY_RUNTIME && unit->keep_runtime,
			};
			*(struct plan_directory *)add_record(w, PLAN_DIRECTORIES) = directory;
			range.count++;
		}
	}
	return range;
}

static struct plan_range add_scratch(struct writer *w, const struct scratches *list)
{
	struct plan_range range = begin_range(w, PLAN_SCRATCH);

	for (size_t i = 0; i < list->count; i++) {
		const struct scratch *s = &list->items[i];
		struct plan_scratch scratch = {
			.path = add_text(w, s->path),
			.device = add_text(w, s->device),
			.size_bytes = s->size_bytes == UINT64_MAX ? 0 : s->size_bytes,
			.nr_inodes = s->nr_inodes == UINT64_MAX ? 0 : s->nr_inodes,
			.mode = s->mode,
			.flags = s->flags,
		};
		*(struct plan_scratch *)add_record(w, PLAN_SCRATCH) = scratch;
	}
	range.count = (uint32_t)list->count;
	return range;
}

/* What a path brings has names, the path itself has none: in the public plan it is what was written
 * down, without what the environment filled in. */
static plan_str add_secret_name(struct writer *w, const struct secret *secret)
{
	return add_string(w, w->is_public && secret->written ? secret->written : secret->name);
}

/* In the public plan of a reference the kind alone, "file:" */
static plan_str add_reference(struct writer *w, const char *reference)
{
	struct text out = {.arena = &w->arena};

	if (!w->is_public)
		return add_text(w, reference);
	for (const char *end = strchr(reference, ':'); end && reference <= end; reference++)
		text_addc(&out, *reference);
	return add_string(w, text_end(&out));
}

static struct plan_range add_secrets(struct writer *w, const struct secrets *list)
{
	struct plan_range range = begin_range(w, PLAN_SECRETS);

	for (size_t i = 0; i < list->count; i++) {
		const struct secret *s = &list->items[i];
		struct plan_secret secret = {
			.name = add_secret_name(w, s),
			.reference = add_reference(w, s->reference),
			.delivery = s->delivery,
			.flags = s->flags |
				 (reference_is_remote(s->reference) ? SECRET_IS_REMOTE : 0) |
				 (s->is_pending ? SECRET_NEEDS_IDENTITY : 0),
			.mode = s->mode,
			.file = add_string(w, s->at.file),
			.line = s->at.line,
		};
		*(struct plan_secret *)add_record(w, PLAN_SECRETS) = secret;
	}
	range.count = (uint32_t)list->count;
	return range;
}

static struct plan_range add_templates(struct writer *w, const struct templates *list)
{
	struct plan_range range = begin_range(w, PLAN_TEMPLATES);

	for (size_t i = 0; i < list->count; i++) {
		const struct template *t = &list->items[i];
		struct plan_template template = {
			.target = add_string(w, t->target),
			.source = add_string(w, t->source),
			.format = t->format,
			.flags = t->is_json ? TEMPLATE_IS_JSON : 0,
			.mode = t->mode,
		};
		*(struct plan_template *)add_record(w, PLAN_TEMPLATES) = template;
	}
	range.count = (uint32_t)list->count;
	return range;
}

static void add_sockets(struct writer *w, const struct unit *unit)
{
	const char *fd_name = unit->fd_name.text ? unit->fd_name.text : unit->name.full;

	for (size_t i = 0; i < unit->listeners.count; i++) {
		struct plan_socket socket = {
			.unit = unit->index,
			.address = add_text(w, unit->listeners.items[i].address),
			.fd_name = add_string(w, fd_name),
			.domain = unit->listeners.items[i].domain,
			.type = unit->listeners.items[i].type,
			.mode = unit->socket_mode,
			.uid = unit->socket_uid,
			.gid = unit->socket_gid,
		};
		*(struct plan_socket *)add_record(w, PLAN_SOCKETS) = socket;
	}
}

static struct plan_list add_environment(struct writer *w, const struct strings *environment)
{
	uint32_t *offsets = arena_alloc(&w->arena, (environment->count + 1) * sizeof(*offsets));
	size_t count = 0;

	for (size_t i = 0; i < environment->count && !w->is_public; i++) {
		/* What would point into credentials that nobody can have is better not set. */
		if (!w->credentials && strchr(environment->items[i], UNIT_BYTE_CREDENTIALS))
			continue;
		offsets[count++] = add_text(w, environment->items[i]);
	}
	return add_list(w, offsets, count);
}

static struct plan_probe make_probe(struct writer *w, uint32_t kind, const struct probe *probe)
{
	return (struct plan_probe){
		.kind = kind,
		.type = probe->type,
		.target = add_string(w, probe->target),
		.exec = add_execs(w, &probe->exec),
		.initial_delay_us = probe->initial_delay_us,
		.period_us = probe->period_us,
		.timeout_us = probe->timeout_us,
		.failure_threshold = probe->failure_threshold,
		.success_threshold = probe->success_threshold,
	};
}

static struct plan_range add_probes(struct writer *w, const struct unit *unit)
{
	struct plan_range range = begin_range(w, PLAN_PROBES);

	for (uint32_t kind = 0; kind < PROBE_KIND_COUNT; kind++) {
		if (unit->probes[kind].type == PROBE_NONE)
			continue;
		struct plan_probe probe = make_probe(w, kind, &unit->probes[kind]);
		*(struct plan_probe *)add_record(w, PLAN_PROBES) = probe;
		range.count++;
	}
	return range;
}

static struct plan_range add_limits(struct writer *w, const struct unit *unit)
{
	struct plan_range range = begin_range(w, PLAN_LIMITS);

	for (uint32_t i = 0; i < PLAN_LIMIT_COUNT; i++) {
		const struct limit *limit = &unit->limits[i];
		if (!limit->is_set)
			continue;
		*(struct plan_limit *)add_record(w, PLAN_LIMITS) =
			(struct plan_limit){limit->soft, limit->hard, i, 0};
		range.count++;
	}
	return range;
}

/* In percent of a processor, as cpu.max wants it: of each period so much. */
static const char *cpu_max(struct writer *w, const struct unit *unit)
{
	uint64_t period = unit->cpu_period_us ? unit->cpu_period_us : CPU_PERIOD_US;
	uint64_t quota = period * unit->cpu_percent / 100;

	return arena_printf(&w->arena, "cpu.max=%" PRIu64 " %" PRIu64,
			    quota < CPU_QUOTA_MIN_US ? CPU_QUOTA_MIN_US : quota, period);
}

static struct plan_list add_resources(struct writer *w, const struct unit *unit)
{
	static const char *const files[RESOURCE_COUNT] = {
		[RESOURCE_MEMORY_MIN] = "memory.min",
		[RESOURCE_MEMORY_LOW] = "memory.low",
		[RESOURCE_MEMORY_HIGH] = "memory.high",
		[RESOURCE_MEMORY_MAX] = "memory.max",
		[RESOURCE_MEMORY_SWAP_MAX] = "memory.swap.max",
		[RESOURCE_MEMORY_OOM_GROUP] = "memory.oom.group",
		[RESOURCE_PIDS_MAX] = "pids.max",
		[RESOURCE_CPU_WEIGHT] = "cpu.weight",
		[RESOURCE_IO_WEIGHT] = "io.weight",
	};
	uint32_t offsets[RESOURCE_COUNT + 1];
	size_t count = 0;

	for (int i = 0; i < RESOURCE_COUNT; i++) {
		if (unit->resources[i])
			offsets[count++] = add_string(
				w, arena_printf(&w->arena, "%s=%s", files[i], unit->resources[i]));
	}
	if (unit->cpu_percent > 0)
		offsets[count++] = add_string(w, cpu_max(w, unit));
	return add_list(w, offsets, count);
}

static struct plan_range add_statuses(struct writer *w, const struct plan_statuses *statuses)
{
	static const struct plan_statuses none;
	struct plan_range range = begin_range(w, PLAN_STATUSES);

	if (memcmp(statuses, &none, sizeof(none)) == 0)
		return range;
	*(struct plan_statuses *)add_record(w, PLAN_STATUSES) = *statuses;
	range.count = 1;
	return range;
}

/* The same list is written once: the supervisor makes one rule set of it (supervisor/landlock.c). */
static bool is_written(const struct writer *w, const struct plan_range *range,
		       const struct rules *rules)
{
	const struct plan_rule *written = (const void *)w->sections[PLAN_RULES].data;
	const char *strings = w->sections[PLAN_STRINGS].data;

	if (range->count != rules->count)
		return false;
	for (size_t i = 0; i < rules->count; i++) {
		const struct plan_rule *rule = &written[range->first + i];
		if (rule->rights != rules->items[i].rights ||
		    strcmp(strings + rule->path, rules->items[i].path) != 0)
			return false;
	}
	return true;
}

static struct plan_range add_rules(struct writer *w, const struct rules *rules)
{
	size_t count = w->is_public ? 0 : rules->count;

	for (size_t i = 0; i < w->n_rule_lists && count > 0; i++) {
		if (is_written(w, &w->rule_lists[i], rules))
			return w->rule_lists[i];
	}
	struct plan_range range = begin_range(w, PLAN_RULES);
	for (size_t i = 0; i < count; i++) {
		struct plan_rule rule = {
			.path = add_text(w, rules->items[i].path),
			.rights = rules->items[i].rights,
		};
		*(struct plan_rule *)add_record(w, PLAN_RULES) = rule;
	}
	range.count = (uint32_t)count;
	w->rule_lists = arena_grow(&w->arena, w->rule_lists, w->n_rule_lists, &w->rule_capacity,
				   sizeof(*w->rule_lists));
	w->rule_lists[w->n_rule_lists++] = range;
	return range;
}

/* In the public plan: what a unit executes beside the image, which holdfast-gate has to know. */
static struct plan_range add_named(struct writer *w, const struct unit *unit)
{
	const struct allowed_paths *named = &unit->paths[PATHS_EXEC];
	struct plan_range range = begin_range(w, PLAN_RULES);

	for (size_t i = 0; i < named->count; i++) {
		const char *root = named->items[i].is_inside ? unit->root_directory.text : NULL;
		const char *path =
			arena_printf(&w->arena, "%s%s", root ? root : "", named->items[i].path);
		struct plan_rule rule = {.path = add_text(w, path), .rights = RULE_EXECUTE};
		*(struct plan_rule *)add_record(w, PLAN_RULES) = rule;
	}
	range.count = (uint32_t)named->count;
	return range;
}

/* ---------------------------------------------------------------- units */

static void fill_texts(struct writer *w, struct plan_unit *plan, const struct unit *unit)
{
	plan->name = add_string(w, unit->name.full);
	plan->description = add_string(w, unit->description);
	plan->file = add_string(w, unit->file);
	plan->pid_file = add_text(w, unit->pid_file.text);
	plan->user_name = add_string(w, unit->user_name);
	plan->home = add_string(w, unit->home);
	plan->shell = add_string(w, unit->shell);
	plan->working_directory = add_text(w, unit->working_path);
	plan->root_directory = add_text(w, unit->root_directory.text);
}

static void fill_lists(struct writer *w, struct plan_unit *plan, const struct unit *unit)
{
	for (int i = 0; i < UNIT_RELATION_COUNT; i++)
		plan->relations[i] = add_list(w, unit->related[i].items, unit->related[i].count);
	for (int i = 0; i < EXEC_PHASE_COUNT; i++)
		plan->exec[i] = add_execs(w, &unit->exec[i]);
	plan->probes = add_probes(w, unit);
	plan->limits = add_limits(w, unit);
	plan->resources = add_resources(w, unit);
	plan->statuses = add_statuses(w, &unit->statuses);
	plan->conditions = add_conditions(w, &unit->conditions);
	plan->groups = add_list(w, unit->group_ids, unit->n_group_ids);
	plan->environment = add_environment(w, &unit->final_environment);
	plan->directories = add_directories(w, unit);
	plan->scratch = add_scratch(w, &unit->scratch);
	plan->secrets = add_secrets(w, &unit->secrets);
	plan->templates = add_templates(w, &unit->templates);
	plan->rules = w->is_public ? add_named(w, unit) : add_rules(w, &unit->rules);
	if (unit->has_shared_rules)
		plan->shared_rules = add_rules(w, &w->units->shared_rules);
}

static void add_unit(struct writer *w, const struct unit *unit)
{
	const char *parent = w->facts->credentials_directory;
	struct plan_unit plan = unit->plan;

	w->credentials = parent && *parent
				 ? arena_printf(&w->arena, "%s/%s", parent, unit->name.full)
				 : NULL;
	if (!unit->has_drain)
		plan.drain_us = w->units->conf.drain_us;
	sandbox_complete(w->facts, unit, &plan);
	fill_texts(w, &plan, unit);
	fill_lists(w, &plan, unit);
	*(struct plan_unit *)add_record(w, PLAN_UNITS) = plan;
	if (unit->name.kind == UNIT_SOCKET)
		add_sockets(w, unit);
}

/* ---------------------------------------------------------------- the header */

static void add_protections(struct writer *w)
{
	for (size_t i = 0; i < w->facts->n_protections; i++) {
		const struct units_protection *p = &w->facts->protections[i];
		struct plan_protection protection = {
			.name = add_string(w, p->name),
			.rung = add_string(w, p->rung),
			.why = add_string(w, p->why),
			.level = p->level,
		};
		*(struct plan_protection *)add_record(w, PLAN_PROTECTIONS) = protection;
	}
}

/* How services are reached is nobody's business but the helper's. */
static struct plan_list add_settings(struct writer *w, const struct settings *list)
{
	uint32_t *offsets = arena_alloc(&w->arena, (list->count + 1) * sizeof(*offsets));
	size_t count = w->is_public ? 0 : list->count;

	for (size_t i = 0; i < count; i++)
		offsets[i] = add_string(w, list->items[i].text);
	return add_list(w, offsets, count);
}

static struct plan_range add_writable(struct writer *w)
{
	const char *const *point = w->is_public ? NULL : w->facts->writable_mounts;
	struct plan_range range = begin_range(w, PLAN_RULES);

	for (; point && *point; point++) {
		struct plan_rule rule = {.path = add_string(w, *point), .rights = RULE_WRITE};
		*(struct plan_rule *)add_record(w, PLAN_RULES) = rule;
		range.count++;
	}
	return range;
}

static uint32_t header_flags(const struct writer *w)
{
	return (w->is_public ? PLAN_IS_PUBLIC : 0) | (w->facts->is_pid1 ? PLAN_IS_PID1 : 0) |
	       (w->facts->root_is_proven ? PLAN_ROOT_PROVEN : 0) |
	       (w->units->is_command ? PLAN_MAIN_COMMAND : 0) |
	       (w->units->public_conf.shells_must_be_refused ? 0 : PLAN_SHELLS_WARN);
}

static uint32_t find_main(const struct units *units)
{
	for (uint32_t i = 0; i < units->count; i++) {
		if (units->items[i]->plan.flags & UNIT_IS_MAIN)
			return i;
	}
	return PLAN_NO_UNIT;
}

static struct plan_header make_header(struct writer *w)
{
	const struct conf *conf = &w->units->conf;
	const struct units_facts *facts = w->facts;

	struct plan_header header = {
		.magic = PLAN_MAGIC,
		.version = PLAN_VERSION,
		.flags = header_flags(w),
		.stop_timeout_us = conf->stop_timeout_us,
		.drain_us = conf->drain_us,
		.boot_wall_us = facts->boot_wall_us,
		.boot_us = facts->boot_us,
		.log_format = conf->log_format,
		.health_detail = conf->health_detail,
		.ring_bytes = conf->ring_bytes,
		.image_id = add_string(w, w->units->image_id),
		.image_version = add_string(w, w->units->image_version),
		.hostname = add_string(w, w->units->hostname),
		.notify_address = add_string(w, facts->notify_address),
		.run_directory = add_string(w, facts->run_directory),
		.credentials_directory = add_string(w, facts->credentials_directory),
		.uid_log = facts->uid_log,
		.uid_health = facts->uid_health,
		.uid_secrets = facts->uid_secrets,
		.main_unit = find_main(w->units),
		.identity_unit =
			w->units->identity_unit ? w->units->identity_unit->index : PLAN_NO_UNIT,
		.n_listen = facts->n_listen,
		.health_port = facts->health_port,
		.scratch = add_scratch(w, &conf->scratch),
		.writable = add_writable(w),
		.fetch_timeout_us = conf->fetch_timeout_us,
		.change_splay_us = conf->change_splay_us,
		.secret_settings = add_settings(w, &conf->secret_settings),
	};
	memcpy(header.remap, w->units->remap, sizeof(header.remap));
	return header;
}

static size_t align(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

static int lay_out(struct writer *w, struct plan_header header, void **ret_block, size_t *ret_size)
{
	size_t size = align(sizeof(header));

	for (int i = 0; i < PLAN_SECTION_COUNT; i++) {
		header.sections[i].offset = size;
		header.sections[i].count = w->sections[i].count;
		size += align(w->sections[i].count * plan_record_sizes[i]);
	}
	if (size > PLAN_BYTES_MAX)
		return -E2BIG;
	char *block = calloc(1, size);
	if (!block)
		return -ENOMEM;
	header.size = size;
	memcpy(block, &header, sizeof(header));
	for (int i = 0; i < PLAN_SECTION_COUNT; i++) {
		if (w->sections[i].count > 0)
			memcpy(block + header.sections[i].offset, w->sections[i].data,
			       w->sections[i].count * plan_record_sizes[i]);
	}
	*ret_block = block;
	*ret_size = size;
	return 0;
}

static int write_all(struct writer *w, void **ret_block, size_t *ret_size)
{
	if (setjmp(w->arena.on_failure))
		return -ENOMEM;
	(void)add_bytes(w, "", 0);
	for (size_t i = 0; i < w->units->count; i++)
		add_unit(w, w->units->items[i]);
	add_protections(w);
	return lay_out(w, make_header(w), ret_block, ret_size);
}

int writer_write(const struct units *units, const struct units_facts *facts, bool is_public,
		 void **ret_block, size_t *ret_size)
{
	struct writer w = {.units = units, .facts = facts, .is_public = is_public};

	arena_init(&w.arena, 4U * PLAN_BYTES_MAX);
	int r = write_all(&w, ret_block, ret_size);
	arena_finish(&w.arena);
	return r;
}
