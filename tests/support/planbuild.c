#include "tests/support/planbuild.h"

#include <stdlib.h>
#include <string.h>

static size_t padded(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

static void *grow(struct planbuild *build, enum plan_section section, uint32_t count)
{
	size_t size = plan_record_sizes[section];
	size_t old = build->counts[section] * size, more = count * size;
	unsigned char *records = realloc(build->records[section], old + more + 1);

	if (!records)
		abort();
	memset(records + old, 0, more);
	build->records[section] = records;
	build->counts[section] += count;
	return records + old;
}

void planbuild_init(struct planbuild *build)
{
	*build = (struct planbuild){
		.header = {.magic = PLAN_MAGIC,
			   .version = PLAN_VERSION,
			   .boot_us = 1,
			   .boot_wall_us = 2,
			   .stop_timeout_us = 25000000,
			   .uid_log = PLAN_NO_ID,
			   .uid_health = PLAN_NO_ID,
			   .uid_secrets = PLAN_NO_ID,
			   .main_unit = PLAN_NO_UNIT,
			   .identity_unit = PLAN_NO_UNIT},
	};
	(void)planbuild_text(build, "");
}

plan_str planbuild_text(struct planbuild *build, const char *text)
{
	uint32_t at = build->counts[PLAN_STRINGS];

	if (*text == '\0' && at > 0)
		return 0;
	memcpy(grow(build, PLAN_STRINGS, (uint32_t)strlen(text) + 1), text, strlen(text) + 1);
	return at;
}

struct plan_list planbuild_list(struct planbuild *build, const uint32_t *values, uint32_t count)
{
	struct plan_list list = {build->counts[PLAN_LISTS], count};

	memcpy(grow(build, PLAN_LISTS, count), values, count * sizeof(*values));
	return list;
}

struct plan_list planbuild_texts(struct planbuild *build, const char *const *texts)
{
	uint32_t values[256], count = 0;

	for (; texts[count]; count++) {
		if (count == 256)
			abort();
		values[count] = planbuild_text(build, texts[count]);
	}
	return planbuild_list(build, values, count);
}

void *planbuild_record(struct planbuild *build, enum plan_section section, uint32_t *ret_index)
{
	if (ret_index)
		*ret_index = build->counts[section];
	return grow(build, section, 1);
}

struct plan_unit *planbuild_unit(struct planbuild *build, const char *name, uint32_t *ret_index)
{
	plan_str text = planbuild_text(build, name);
	struct plan_unit *unit = planbuild_record(build, PLAN_UNITS, ret_index);

	unit->name = text;
	unit->kind = UNIT_SERVICE;
	unit->flags = UNIT_SEND_SIGKILL | UNIT_IGNORE_SIGPIPE;
	unit->uid = PLAN_NO_ID;
	unit->gid = PLAN_NO_ID;
	unit->umask = 022;
	unit->watchdog_us = PLAN_INFINITY_US;
	return unit;
}

void planbuild_exec(struct planbuild *build, uint32_t unit, enum exec_phase phase,
		    const char *const *argv, uint32_t flags)
{
	struct plan_list list = planbuild_texts(build, argv);
	plan_str path = planbuild_text(build, argv[0]);
	uint32_t index;
	struct plan_exec *exec = planbuild_record(build, PLAN_EXECS, &index);
	struct plan_unit *units = (struct plan_unit *)(void *)build->records[PLAN_UNITS];

	*exec = (struct plan_exec){.path = path, .argv = list, .flags = flags};
	struct plan_range *range = &units[unit].exec[phase];
	if (range->count == 0)
		range->first = index;
	range->count++;
}

void planbuild_finish(struct planbuild *build, void **ret_block, size_t *ret_size,
		      struct plan *ret_plan)
{
	size_t size = padded(sizeof(struct plan_header));

	for (int i = 0; i < PLAN_SECTION_COUNT; i++) {
		build->header.sections[i].offset = size;
		build->header.sections[i].count = build->counts[i];
		size = padded(size + build->counts[i] * plan_record_sizes[i]);
	}
	build->header.size = size;
	unsigned char *block = calloc(1, size);
	if (!block)
		abort();
	memcpy(block, &build->header, sizeof(build->header));
	for (int i = 0; i < PLAN_SECTION_COUNT; i++) {
		if (build->counts[i] > 0)
			memcpy(block + build->header.sections[i].offset, build->records[i],
			       build->counts[i] * plan_record_sizes[i]);
		free(build->records[i]);
	}
	if (plan_open(block, size, ret_plan) < 0)
		abort();
	*ret_block = block;
	*ret_size = size;
}
