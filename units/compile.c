#include "units/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "units/check.h"
#include "units/conf.h"
#include "units/graph.h"
#include "units/listen.h"
#include "units/identity.h"
#include "units/load.h"
#include "units/main_unit.h"
#include "units/modules.h"
#include "units/programs.h"
#include "units/resolve.h"
#include "units/rules.h"
#include "units/sandbox.h"
#include "units/specifier.h"
#include "units/tmpfiles.h"
#include "units/writer.h"

#define ARENA_BYTES_MAX (256U << 20)

static void request_units(struct units *units)
{
	const char *const *names = units->request.units;
	struct where at = {.file = units->conf.file};
	struct unit *unit;

	for (; names && *names; names++) {
		struct where nowhere = {0};
		unit = strchr(*names, '/') ? load_request_file(units, *names, &nowhere)
					   : load_request(units, *names, &nowhere);
		if (unit)
			unit->is_named = true;
	}
	if (units->request.units)
		return;
	for (size_t i = 0; i < units->conf.units.count; i++) {
		const struct setting *setting = &units->conf.units.items[i];
		unit = load_request(units, setting->text, &setting->at);
		if (unit)
			unit->is_named = true;
	}
	if (units->conf.units.count == 0)
		report_error(&units->report, &at,
			     "nothing to run: expected Units= in [Holdfast], or -- COMMAND");
}

/* What the image calls itself: from the environment, else from os-release(5). */
static const char *image_field(struct units *units, const char *variable, const char *specifier)
{
	const char *const *environment = units->request.environment;
	size_t length = strlen(variable), offset;
	struct specifier_context context = {.arena = &units->arena, .source = &units->source};
	char *text;

	for (; environment && *environment; environment++) {
		if (strncmp(*environment, variable, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	}
	return specifier_expand(&context, specifier, &text, &offset) == 0 ? text : "";
}

static void load(struct units *units)
{
	units->hostname =
		arena_string(&units->arena, units->request.hostname ? units->request.hostname : "");
	units->image_id = arena_string(&units->arena, image_field(units, "IMAGE_ID", "%M"));
	units->image_version =
		arena_string(&units->arena, image_field(units, "IMAGE_VERSION", "%A"));
	units->is_command = units->request.command;
	conf_load(units);
	load_set_search_path(units);
	if (units->request.command)
		main_unit_create(units);
	else
		request_units(units);
	load_all(units);
	for (size_t i = 0; i < units->count; i++) {
		check_unit(units, units->items[i]);
		resolve_unit(units, units->items[i]);
		sandbox_settle(units->items[i]);
	}
	identity_add_unit(units);
	tmpfiles_load(units);
	graph_build(units);
	check_stop_budget(units);
	check_wrapped(units);
	listen_check(units);
	programs_check(units);
	modules_check(units);
	rules_settle(units);
}

/* Apart, so that no variable of the caller is clobbered by the jump. */
static int load_or_fail(struct units *units)
{
	if (setjmp(units->arena.on_failure))
		return -ENOMEM;
	load(units);
	return 0;
}

int units_load(const struct units_request *request, struct units **ret_units)
{
	struct units *units = calloc(1, sizeof(*units));

	if (!units)
		return -ENOMEM;
	units->request = *request;
	arena_init(&units->arena, ARENA_BYTES_MAX);
	units->report.arena = &units->arena;
	units->report.is_offline = request->is_offline;
	int r = source_init(&units->source, request->root_fd, &units->arena);
	if (r == 0)
		r = load_or_fail(units);
	if (r < 0)
		units_free(units);
	else
		*ret_units = units;
	return r;
}

const struct diag_list *units_diagnostics(const struct units *units)
{
	return &units->report.list;
}

const struct units_conf *units_conf(const struct units *units)
{
	return &units->public_conf;
}

size_t units_folders(const struct units *units, const struct units_folder **ret_folders)
{
	*ret_folders = units->folders.items;
	return units->folders.count;
}

void units_free(struct units *units)
{
	if (!units)
		return;
	source_finish(&units->source);
	listing_finish(&units->listing);
	readable_finish(&units->readable);
	arena_finish(&units->arena);
	free(units);
}

size_t units_count(const struct units *units)
{
	return units->count;
}

struct units_summary units_summary(const struct units *units, size_t i)
{
	const struct unit *unit = units->items[i];

	return (struct units_summary){
		.name = unit->name.full,
		.file = unit->file,
		.type = unit->name.kind == UNIT_SERVICE ? service_type_names[unit->plan.type]
							: NULL,
		.is_wanted = unit->plan.flags & UNIT_WANTED,
		.is_essential = unit->plan.flags & UNIT_ESSENTIAL,
	};
}

int units_compile(const struct units *units, const struct units_facts *facts, bool is_public,
		  void **ret_block, size_t *ret_size)
{
	if (units->report.list.n_errors > 0)
		return -EINVAL;
	return writer_write(units, facts, is_public, ret_block, ret_size);
}
