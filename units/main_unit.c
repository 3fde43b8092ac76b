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

void main_unit_create(struct units *units)
{
	const struct units_command *command = units->request.command;
	struct unit *unit = load_create(units, "main.service", &command_line);

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
	unit->file = command_line.file;
	unit->description = arena_string(&units->arena, command->argv[0]);
	unit->is_essential = ANSWER_YES;
	unit->plan.flags |= UNIT_IS_MAIN | UNIT_INHERIT_ENVIRONMENT | UNIT_STDIN_INHERIT;
	unit->plan.flags &= ~UNIT_IGNORE_SIGPIPE;
	if (command->is_group)
		unit->plan.flags |= UNIT_KILL_GROUP;
	unit->plan.pdeath_signal = command->pdeath_signal;
	memcpy(units->remap, command->remap, sizeof(command->remap));
	add_command(units, unit, command->argv);
	for (const char *const *key = command->keys; key && *key; key++)
		apply_key(units, unit, *key);
}
