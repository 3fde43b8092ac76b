#include "lib/plan.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/template.h"

const size_t plan_record_sizes[PLAN_SECTION_COUNT] = {
	[PLAN_UNITS] = sizeof(struct plan_unit),
	[PLAN_EXECS] = sizeof(struct plan_exec),
	[PLAN_CONDITIONS] = sizeof(struct plan_condition),
	[PLAN_DIRECTORIES] = sizeof(struct plan_directory),
	[PLAN_SCRATCH] = sizeof(struct plan_scratch),
	[PLAN_SECRETS] = sizeof(struct plan_secret),
	[PLAN_TEMPLATES] = sizeof(struct plan_template),
	[PLAN_SOCKETS] = sizeof(struct plan_socket),
	[PLAN_PROTECTIONS] = sizeof(struct plan_protection),
	[PLAN_LIMITS] = sizeof(struct plan_limit),
	[PLAN_STATUSES] = sizeof(struct plan_statuses),
	[PLAN_PROBES] = sizeof(struct plan_probe),
	[PLAN_RULES] = sizeof(struct plan_rule),
	[PLAN_LISTS] = sizeof(uint32_t),
	[PLAN_STRINGS] = sizeof(char),
};

const char *const unit_kind_names[UNIT_KIND_COUNT] = {"service", "target", "socket"};
const char *const service_type_names[SERVICE_TYPE_COUNT] = {"simple", "exec", "oneshot", "notify",
							    "forking"};
const char *const restart_policy_names[RESTART_COUNT] = {
	"no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always",
};
const char *const kill_mode_names[KILL_MODE_COUNT] = {"control-group", "mixed", "process", "none"};
const char *const notify_access_names[NOTIFY_ACCESS_COUNT] = {"none", "main", "exec", "all"};
const char *const unit_sandbox_names[UNIT_SANDBOX_COUNT] = {"strict", "unit", "none"};
const char *const call_group_names[CALL_GROUP_COUNT] = {
	[CALLS_TTY] = "tty",
	[CALLS_PTRACE] = "ptrace",
	[CALLS_NAMESPACES] = "namespaces",
	[CALLS_MOUNT] = "mount",
	[CALLS_BPF] = "bpf",
	[CALLS_KEYRING] = "keyring",
	[CALLS_USERFAULTFD] = "userfaultfd",
	[CALLS_MEMFD] = "memfd",
	[CALLS_FEXECVE] = "fexecve",
	[CALLS_IO_URING] = "io-uring",
	[CALLS_CLOCK] = "clock",
	[CALLS_MODULES] = "modules",
	[CALLS_REBOOT] = "reboot",
	[CALLS_RAW_IO] = "raw-io",
	[CALLS_ADMIN] = "admin",
	[CALLS_HANDLES] = "handles",
	[CALLS_PERSONALITY] = "personality",
	[CALLS_FOREIGN] = "foreign",
};
const char *const log_format_names[LOG_FORMAT_COUNT] = {"json", "plain", "raw"};
const char *const protection_level_names[PROTECTION_COUNT] = {"full", "reduced", "none"};

static const void *record(const struct plan *plan, enum plan_section section, uint32_t i)
{
	return plan->base + plan->header->sections[section].offset + i * plan_record_sizes[section];
}

static bool section_fits(const struct plan_header *header, int section, size_t size)
{
	uint64_t offset = header->sections[section].offset;
	uint64_t count = header->sections[section].count;
	size_t record_size = plan_record_sizes[section];

	return offset % 8 == 0 && offset <= size && count <= UINT32_MAX &&
	       count <= (size - offset) / record_size;
}

static bool string_fits(const struct plan *plan, plan_str s)
{
	return s < plan->header->sections[PLAN_STRINGS].count;
}

static bool range_fits(const struct plan *plan, struct plan_range range, enum plan_section section)
{
	uint64_t count = plan->header->sections[section].count;

	return range.first <= count && range.count <= count - range.first;
}

/* Every entry of the list is below limit. */
static bool list_fits(const struct plan *plan, struct plan_list list, uint64_t limit)
{
	if (!range_fits(plan, (struct plan_range){list.first, list.count}, PLAN_LISTS))
		return false;
	for (uint32_t i = 0; i < list.count; i++) {
		if (plan_list_get(plan, list, i) >= limit)
			return false;
	}
	return true;
}

static bool unit_fits(const struct plan *plan, const struct plan_unit *unit)
{
	const struct plan_header *header = plan->header;
	const plan_str strings[] = {
		unit->name,	unit->description,	 unit->file,
		unit->pid_file, unit->user_name,	 unit->home,
		unit->shell,	unit->working_directory, unit->root_directory,
	};
	const struct {
		uint32_t value, count;
	} enums[] = {
		{unit->kind, UNIT_KIND_COUNT},
		{unit->type, SERVICE_TYPE_COUNT},
		{unit->restart, RESTART_COUNT},
		{unit->kill_mode, KILL_MODE_COUNT},
		{unit->notify_access, NOTIFY_ACCESS_COUNT},
		{unit->failure_action, UNIT_ACTION_COUNT},
		{unit->success_action, UNIT_ACTION_COUNT},
		{unit->on_change, SECRET_CHANGE_COUNT},
		{unit->sandbox, UNIT_SANDBOX_COUNT},
	};

	for (size_t i = 0; i < ARRAY_COUNT(strings); i++) {
		if (!string_fits(plan, strings[i]))
			return false;
	}
	for (size_t i = 0; i < ARRAY_COUNT(enums); i++) {
		if (enums[i].value >= enums[i].count)
			return false;
	}
	for (int i = 0; i < UNIT_RELATION_COUNT; i++) {
		if (!list_fits(plan, unit->relations[i], header->sections[PLAN_UNITS].count))
			return false;
	}
	for (int i = 0; i < EXEC_PHASE_COUNT; i++) {
		if (!range_fits(plan, unit->exec[i], PLAN_EXECS))
			return false;
	}
	return list_fits(plan, unit->environment, header->sections[PLAN_STRINGS].count) &&
	       list_fits(plan, unit->resources, header->sections[PLAN_STRINGS].count) &&
	       list_fits(plan, unit->groups, UINT64_MAX) &&
	       range_fits(plan, unit->statuses, PLAN_STATUSES) &&
	       range_fits(plan, unit->limits, PLAN_LIMITS) &&
	       range_fits(plan, unit->probes, PLAN_PROBES) &&
	       range_fits(plan, unit->conditions, PLAN_CONDITIONS) &&
	       range_fits(plan, unit->directories, PLAN_DIRECTORIES) &&
	       range_fits(plan, unit->scratch, PLAN_SCRATCH) &&
	       range_fits(plan, unit->secrets, PLAN_SECRETS) &&
	       range_fits(plan, unit->templates, PLAN_TEMPLATES) &&
	       range_fits(plan, unit->shared_rules, PLAN_RULES) &&
	       range_fits(plan, unit->rules, PLAN_RULES);
}

static bool units_fit(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		if (!unit_fits(plan, plan_unit(plan, i)))
			return false;
	}
	return true;
}

static bool execs_fit(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_EXECS); i++) {
		const struct plan_exec *exec = plan_exec(plan, i);
		if (!string_fits(plan, exec->path) || exec->argv.count == 0 ||
		    !list_fits(plan, exec->argv, plan->header->sections[PLAN_STRINGS].count))
			return false;
	}
	return true;
}

static bool templates_fit(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_TEMPLATES); i++) {
		const struct plan_template *t = plan_template(plan, i);
		if (t->format >= TEMPLATE_FORMAT_COUNT || !string_fits(plan, t->target) ||
		    !string_fits(plan, t->source))
			return false;
	}
	return true;
}

static bool small_records_fit(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_CONDITIONS); i++) {
		const struct plan_condition *c = plan_condition(plan, i);
		if (c->type >= CONDITION_TYPE_COUNT || !string_fits(plan, c->parameter) ||
		    !string_fits(plan, c->text))
			return false;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_DIRECTORIES); i++) {
		const struct plan_directory *d = plan_directory(plan, i);
		if (d->type >= DIRECTORY_TYPE_COUNT || !string_fits(plan, d->path))
			return false;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_SCRATCH); i++) {
		if (!string_fits(plan, plan_scratch(plan, i)->path) ||
		    !string_fits(plan, plan_scratch(plan, i)->device))
			return false;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_SECRETS); i++) {
		const struct plan_secret *s = plan_secret(plan, i);
		if (s->delivery >= SECRET_DELIVERY_COUNT || !string_fits(plan, s->name) ||
		    !string_fits(plan, s->reference) || !string_fits(plan, s->file))
			return false;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_SOCKETS); i++) {
		const struct plan_socket *s = plan_socket(plan, i);
		if (s->unit >= plan_unit_count(plan) || !string_fits(plan, s->address) ||
		    !string_fits(plan, s->fd_name))
			return false;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_LIMITS); i++) {
		if (plan_limit(plan, i)->resource >= PLAN_LIMIT_COUNT)
			return false;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_PROBES); i++) {
		const struct plan_probe *p = record(plan, PLAN_PROBES, i);
		if (p->kind >= PROBE_KIND_COUNT || !string_fits(plan, p->target) ||
		    !range_fits(plan, p->exec, PLAN_EXECS))
			return false;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_RULES); i++) {
		if (!string_fits(plan, plan_rule(plan, i)->path))
			return false;
	}
	for (uint32_t i = 0; i < plan_section_count(plan, PLAN_PROTECTIONS); i++) {
		const struct plan_protection *p = plan_protection(plan, i);
		if (p->level >= PROTECTION_COUNT || !string_fits(plan, p->name) ||
		    !string_fits(plan, p->rung) || !string_fits(plan, p->why))
			return false;
	}
	return true;
}

static bool header_fits(const struct plan *plan)
{
	const struct plan_header *header = plan->header;
	const plan_str strings[] = {
		header->image_id,	header->image_version, header->hostname,
		header->notify_address, header->run_directory, header->credentials_directory,
	};

	for (size_t i = 0; i < ARRAY_COUNT(strings); i++) {
		if (!string_fits(plan, strings[i]))
			return false;
	}
	return header->log_format < LOG_FORMAT_COUNT &&
	       header->health_detail < HEALTH_DETAIL_COUNT &&
	       plan_unit_count(plan) <= PLAN_UNITS_MAX &&
	       range_fits(plan, header->scratch, PLAN_SCRATCH) &&
	       range_fits(plan, header->writable, PLAN_RULES) &&
	       list_fits(plan, header->secret_settings, header->sections[PLAN_STRINGS].count) &&
	       (header->main_unit == PLAN_NO_UNIT || header->main_unit < plan_unit_count(plan)) &&
	       (header->identity_unit == PLAN_NO_UNIT ||
		header->identity_unit < plan_unit_count(plan));
}

int plan_open(const void *data, size_t size, struct plan *ret_plan)
{
	const struct plan_header *header = data;
	struct plan plan = {.header = header, .base = data};

	if (size < sizeof(*header) || header->magic != PLAN_MAGIC ||
	    header->version != PLAN_VERSION || header->size != size)
		return -EBADMSG;
	for (int i = 0; i < PLAN_SECTION_COUNT; i++) {
		if (!section_fits(header, i, size))
			return -EBADMSG;
	}
	/* The strings' last byte ends every string that starts before it. */
	uint64_t n = header->sections[PLAN_STRINGS].count;
	const char *strings = plan.base + header->sections[PLAN_STRINGS].offset;
	if (n == 0 || strings[0] != '\0' || strings[n - 1] != '\0')
		return -EBADMSG;
	if (!header_fits(&plan) || !units_fit(&plan) || !execs_fit(&plan) ||
	    !templates_fit(&plan) || !small_records_fit(&plan))
		return -EBADMSG;
	*ret_plan = plan;
	return 0;
}

int plan_map(int fd, struct plan *ret_plan)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0)
		return -EBADMSG;
	void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	int r = plan_open(data, (size_t)st.st_size, ret_plan);
	if (r < 0)
		(void)munmap(data, (size_t)st.st_size);
	return r;
}

const char *plan_string(const struct plan *plan, plan_str offset)
{
	return plan->base + plan->header->sections[PLAN_STRINGS].offset + offset;
}

uint32_t plan_list_get(const struct plan *plan, struct plan_list list, uint32_t i)
{
	return *(const uint32_t *)record(plan, PLAN_LISTS, list.first + i);
}

uint32_t plan_section_count(const struct plan *plan, enum plan_section section)
{
	return (uint32_t)plan->header->sections[section].count;
}

uint32_t plan_unit_count(const struct plan *plan)
{
	return plan_section_count(plan, PLAN_UNITS);
}

const struct plan_unit *plan_unit(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_UNITS, i);
}

const char *plan_unit_name(const struct plan *plan, uint32_t i)
{
	return plan_string(plan, plan_unit(plan, i)->name);
}

uint32_t plan_find_unit(const struct plan *plan, const char *name)
{
	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		if (strcmp(plan_unit_name(plan, i), name) == 0)
			return i;
	}
	return PLAN_NO_UNIT;
}

const struct plan_exec *plan_exec(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_EXECS, i);
}

const struct plan_rule *plan_rule(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_RULES, i);
}

const struct plan_condition *plan_condition(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_CONDITIONS, i);
}

const struct plan_directory *plan_directory(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_DIRECTORIES, i);
}

const struct plan_scratch *plan_scratch(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_SCRATCH, i);
}

const struct plan_secret *plan_secret(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_SECRETS, i);
}

const struct plan_template *plan_template(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_TEMPLATES, i);
}

const struct plan_socket *plan_socket(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_SOCKETS, i);
}

const struct plan_protection *plan_protection(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_PROTECTIONS, i);
}

const struct plan_limit *plan_limit(const struct plan *plan, uint32_t i)
{
	return record(plan, PLAN_LIMITS, i);
}

const struct plan_statuses *plan_unit_statuses(const struct plan *plan,
					       const struct plan_unit *unit)
{
	static const struct plan_statuses none;

	return unit->statuses.count > 0 ? record(plan, PLAN_STATUSES, unit->statuses.first) : &none;
}

const struct plan_probe *plan_unit_probe(const struct plan *plan, const struct plan_unit *unit,
					 enum probe_kind kind)
{
	static const struct plan_probe none = {.type = PROBE_NONE};

	for (uint32_t i = 0; i < unit->probes.count; i++) {
		const struct plan_probe *probe = record(plan, PLAN_PROBES, unit->probes.first + i);
		if (probe->kind == kind)
			return probe;
	}
	return &none;
}

bool plan_status_has(const struct plan_status_set *set, int code, int status)
{
	if (code == CLD_EXITED)
		return status >= 0 && status < 256 &&
		       (set->statuses[status / 32] & (1U << (status % 32)));
	return status >= 1 && status <= 64 && (set->signals & (UINT64_C(1) << (status - 1)));
}
