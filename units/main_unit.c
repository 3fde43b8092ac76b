/*
 * The command of `holdfast [OPTIONS] -- CMD` as the unit main.service: of its own, with what
 * holdfast was given, or with --as as a one-off of a service. Then that service's file is read under
 * its own name, so that specifiers mean what they mean in it, and of the unit that comes of it
 * everything goes that makes a service of it: what it starts, whom it needs and waits for, when it
 * counts as up, what its end means. User, environment, secrets, directories, limits and sandbox stay.
 */
#include "units/main_unit.h"

#include <string.h>

#include "units/load.h"
#include "units/schema.h"

static const struct where command_line = {.file = "command line"};

/* "Section.Key=value", as if it stood in the unit's file. */
static void apply_key(struct units *units, struct unit *unit, const char *line)
{
	const char *equals = strchr(line, '=');
	size_t length = equals ? (size_t)(equals - line) : strlen(line);
	const char *dot = memchr(line, '.', length);

	if (!equals || !dot) {
		report_error(&units->report, &command_line, "\"%.*s\": expected Section.Key=value",
			     (int)length, line);
		return;
	}
	struct lex_item item = {
		.kind = LEX_ASSIGNMENT,
		.at = command_line,
		.key = arena_copy(&units->arena, dot + 1, (size_t)(equals - dot - 1)),
		.value = arena_string(&units->arena, equals + 1),
	};
	schema_apply(units, unit, arena_copy(&units->arena, line, (size_t)(dot - line)), &item);
}

/* The words as they were given: nothing in them is expanded. */
static void add_command(struct units *units, struct unit *unit, char *const *argv)
{
	struct exec_line *line = LIST_ADD(&units->arena, &unit->exec[EXEC_START]);

	line->at = command_line;
	line->is_literal = true;
	line->path = arena_string(&units->arena, argv[0]);
	for (; *argv; argv++)
		strings_add(&units->arena, &line->words, arena_string(&units->arena, *argv));
}

static bool has_markers(char *const *argv)
{
	for (; *argv; argv++) {
		if ((*argv)[strcspn(*argv, "\x01\x02\x03\x04\x05\x06")])
			return true;
	}
	return false;
}

/* What the service's file said of the service's life, and not of its surroundings. */
static void forget_life(struct unit *unit)
{
	struct unit fresh = {.name = unit->name};

	schema_init_unit(&fresh);
	unit->relations.count = unit->conditions.count = unit->sockets.count = 0;
	memset(unit->exec, 0, sizeof(unit->exec));
	memcpy(unit->probes, fresh.probes, sizeof(unit->probes));
	unit->statuses = fresh.statuses;
	unit->pid_file = unit->bus_name = unit->restart_at = (struct setting){0};
	unit->has_type = unit->has_start_timeout = unit->has_notify_access = false;
	unit->has_failure_action = unit->has_success_action = false;
	unit->has_drain = true;

	struct plan_unit *plan = &unit->plan, *other = &fresh.plan;
	plan->type = other->type;
	plan->restart = other->restart;
	plan->restart_us = other->restart_us;
	plan->restart_max_us = other->restart_max_us;
	plan->timeout_start_us = other->timeout_start_us;
	plan->runtime_max_us = other->runtime_max_us;
	plan->watchdog_us = other->watchdog_us;
	plan->drain_us = 0;
	plan->kill_mode = other->kill_mode;
	plan->kill_signal = other->kill_signal;
	plan->notify_access = other->notify_access;
	plan->failure_action = plan->success_action = ACTION_NONE;
	plan->failure_status = other->failure_status;
	plan->success_status = other->success_status;
	plan->refresh_us = other->refresh_us;
	plan->on_change = other->on_change;
	plan->flags &= ~(UNIT_REMAIN_AFTER_EXIT | UNIT_PERMISSIONS_START_ONLY |
			 UNIT_ROOT_DIRECTORY_START_ONLY | UNIT_OUTPUT_NULL | UNIT_ERROR_NULL);
	if (!unit->working_directory.text)
		unit->working_directory = (struct setting){"/", command_line};
}

/* The service under its own name, or NULL after an error was said. */
static struct unit *find_service(struct units *units, const char *name)
{
	static const struct where at = {.file = "--as"};
	struct unit_name parsed = name_parse(&units->arena, name);
	bool is_template = parsed.instance && !*parsed.instance;

	if (parsed.class != NAME_SUPPORTED || parsed.kind != UNIT_SERVICE || is_template) {
		report_failure(&units->report, &at, EX_USAGE,
			       "\"%s\": expected the name of a service, such as web.service", name);
		return NULL;
	}
	struct unit *unit = load_request(units, name, &at);
	if (!unit)
		return NULL;
	load_read(units, unit);
	if (!unit->is_missing && !unit->is_masked)
		return unit;
	report_error(&units->report, &at, "%s %s", name,
		     unit->is_masked
			     ? "is masked: expected a service that may run"
			     : "does not exist: expected a service of the image, in a folder "
			       "of the search path (holdfast.unit(5))");
	return NULL;
}

static struct unit *make_one_off(struct units *units, const char *name)
{
	struct unit *unit = find_service(units, name);

	if (!unit)
		return NULL;
	forget_life(unit);
	load_rename(units, unit, "main.service");
	return unit;
}

static struct unit *make_plain(struct units *units)
{
	struct unit *unit = load_create(units, "main.service", &command_line);

	unit->file = command_line.file;
	unit->is_command = true;
	unit->plan.flags |= UNIT_INHERIT_ENVIRONMENT;
	return unit;
}

void main_unit_create(struct units *units)
{
	const struct units_command *command = units->request.command;

	if (!command->argv || !command->argv[0] || !command->argv[0][0]) {
		report_failure(&units->report, &command_line, EX_USAGE,
			       "expected a command behind --");
		return;
	}
	if (has_markers(command->argv)) {
		report_error(&units->report, &command_line,
			     "a control character in the command: expected text");
		return;
	}
	struct unit *unit = command->as ? make_one_off(units, command->as) : make_plain(units);
	if (!unit)
		return;
	unit->description = arena_string(&units->arena, command->argv[0]);
	unit->is_essential = ANSWER_YES;
	unit->plan.flags |= UNIT_IS_MAIN | UNIT_STDIN_INHERIT;
	unit->plan.flags &= ~UNIT_IGNORE_SIGPIPE;
	if (command->is_group)
		unit->plan.flags |= UNIT_KILL_GROUP;
	unit->plan.pdeath_signal = command->pdeath_signal;
	memcpy(units->remap, command->remap, sizeof(command->remap));
	add_command(units, unit, command->argv);
	for (const char *const *key = command->keys; key && *key; key++)
		apply_key(units, unit, *key);
}
