/*
 * [Unit] and [Service]: relations, commands, life.
 */
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/parsers.h"
#include "units/values.h"
#include "units/words.h"

void parse_relation(const struct parse *parse, void *target)
{
	struct arena *arena = &parse->units->arena;
	struct relations *relations = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		struct unit_name name = name_parse(arena, word);
		if (name.class == NAME_INVALID || (name.instance && !*name.instance)) {
			parse_error(
				parse, offset,
				name.class == NAME_INVALID
					? "\"%s\": expected the name of a unit, such as x.service"
					: "\"%s\": expected an instance between @ and the dot",
				word);
			continue;
		}
		if (relations->count == UNIT_LINES_MAX) {
			parse_error(parse, offset, "more than %d relations", UNIT_LINES_MAX);
			return;
		}
		*LIST_ADD(arena, relations) = (struct relation){
			.type = (enum unit_relation)parse->directive->argument,
			.name = word,
			.at = lex_where(parse->item, offset),
		};
	}
}

struct command {
	const struct parse *parse;
	struct exec_line line;
	size_t offset;
};

/* - @ + ! !! : in any order, each once. The text behind them, or NULL after an error. */
static const char *read_prefixes(struct command *command, const char *text)
{
	unsigned n_bangs = 0;

	for (;; text++) {
		struct exec_line *line = &command->line;
		uint32_t flag = *text == '-'   ? EXEC_IGNORE_FAILURE
				: *text == '@' ? EXEC_OWN_ARGV0
				: *text == '+' ? EXEC_FULL_RIGHTS
					       : 0;
		bool is_again = line->flags & flag;
		if (*text == '!')
			is_again = ++n_bangs > 2;
		else if (*text == ':')
			is_again = line->is_literal;
		else if (!flag)
			break;
		if (is_again) {
			parse_error(command->parse, command->offset, "prefix \"%c\" twice", *text);
			return NULL;
		}
		line->flags |= flag;
		line->is_literal |= *text == ':';
	}
	/* !! is for kernels without ambient capabilities, which holdfast does not run on. */
	if (n_bangs == 1)
		command->line.flags |= EXEC_FULL_RIGHTS;
	return text;
}

static bool is_alone(const char *at, size_t length)
{
	return at[length] == '\0' || at[length] == ' ' || at[length] == '\t';
}

static bool read_program(struct command *command, const char **at)
{
	const struct parse *parse = command->parse;
	char *word = parse_word(parse, at, WORDS_UNQUOTE | WORDS_UNESCAPE, &command->offset);
	const char *path = word ? read_prefixes(command, word) : NULL;

	if (!path)
		return false;
	size_t length = strlen(path);
	if (length == 0 || path[length - 1] == '/' || (*path != '/' && strchr(path, '/'))) {
		parse_error(parse, command->offset,
			    "\"%s\": expected an absolute path or the name of a program", path);
		return false;
	}
	command->line.path = path;
	command->line.at = lex_where(parse->item, command->offset);
	if (!(command->line.flags & EXEC_OWN_ARGV0))
		strings_add(&parse->units->arena, &command->line.words, path);
	return true;
}

/* Up to the end or a ";" of its own. */
static bool read_arguments(struct command *command, const char **at)
{
	const struct parse *parse = command->parse;
	struct strings *words = &command->line.words;
	size_t offset;

	for (;;) {
		*at += strspn(*at, " \t");
		char *word;
		if (!**at || (**at == ';' && is_alone(*at, 1)))
			break;
		if ((*at)[0] == '\\' && (*at)[1] == ';' && is_alone(*at, 2)) {
			word = arena_string(&parse->units->arena, ";");
			*at += 2;
		} else {
			word = parse_word(parse, at, WORDS_UNQUOTE | WORDS_UNESCAPE, &offset);
		}
		if (!word)
			return false;
		if (words->count == UNIT_LINES_MAX) {
			parse_error(parse, 0, "more than %d arguments", UNIT_LINES_MAX);
			return false;
		}
		strings_add(&parse->units->arena, words, word);
	}
	if (words->count == 0)
		parse_error(parse, command->offset,
			    "prefix \"@\" without an argv[0] behind the path");
	return words->count > 0;
}

bool parse_commands(const struct parse *parse, struct exec_lines *lines)
{
	const char *at = parse->value;

	while (*at) {
		struct command command = {.parse = parse};
		if (*at == ';') {
			at++;
			at += strspn(at, " \t");
			continue;
		}
		if (!read_program(&command, &at) || !read_arguments(&command, &at))
			return false;
		if (lines->count == UNIT_LINES_MAX) {
			parse_error(parse, 0, "more than %d commands", UNIT_LINES_MAX);
			return false;
		}
		*LIST_ADD(&parse->units->arena, lines) = command.line;
	}
	return true;
}

void parse_exec(const struct parse *parse, void *target)
{
	struct exec_lines *lines = target;

	if (!*parse->value)
		lines->count = 0;
	(void)parse_commands(parse, lines);
}

/* Nothing is ever reloaded (promise 1), but a line that is wrong is wrong. */
void parse_check_only(const struct parse *parse, void *target)
{
	struct exec_lines lines = {0};

	(void)target;
	(void)parse_commands(parse, &lines);
}

void parse_type(const struct parse *parse, void *target)
{
	uint32_t *type = target;

	parse->unit->type_at = lex_value(parse->item);
	parse->unit->has_type = true;
	if (strcmp(parse->value, "idle") == 0) {
		*type = SERVICE_SIMPLE;
		return;
	}
	if (strcmp(parse->value, "notify-reload") == 0) {
		*type = SERVICE_NOTIFY;
		return;
	}
	if (strcmp(parse->value, "dbus") == 0) {
		parse_error(parse, 0,
			    "dbus cannot be honoured, as there is no bus: expected notify, "
			    "or simple in a drop-in");
		return;
	}
	if (value_enum(parse->value, service_type_names, SERVICE_TYPE_COUNT, type) < 0)
		parse_error(
			parse, 0,
			"\"%s\": expected simple, exec, oneshot, notify, notify-reload, forking "
			"or idle",
			parse->value);
}

void parse_restart(const struct parse *parse, void *target)
{
	parse->unit->restart_at = (struct setting){parse->value, lex_value(parse->item)};
	parse_enum(parse, target);
}

void parse_timeout_both(const struct parse *parse, void *target)
{
	struct unit *unit = target;
	struct directive row = *parse->directive;
	struct parse one = *parse;

	row.argument = 0;
	one.directive = &row;
	parse_timeout(&one, &unit->plan.timeout_start_us);
	unit->plan.timeout_stop_us = unit->plan.timeout_start_us;
	unit->has_start_timeout = true;
	unit->has_stop_timeout = true;
}

void parse_watchdog(const struct parse *parse, void *target)
{
	uint64_t *us = target;

	parse_span(parse, us);
	if (*us == 0)
		*us = PLAN_INFINITY_US;
}

void parse_statuses(const struct parse *parse, void *target)
{
	struct plan_status_set *set = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	if (!*at)
		*set = (struct plan_status_set){0};
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		uint32_t number;
		if (value_exit_status(word, &number) == 0)
			set->statuses[number / 32] |= 1U << (number % 32);
		else if (value_signal(word, &number) == 0)
			set->signals |= UINT64_C(1) << (number - 1);
		else
			parse_error(parse, offset,
				    "\"%s\": expected an exit status (0 to 255, or a name such as "
				    "TEMPFAIL) or a signal",
				    word);
	}
}

void parse_action(const struct parse *parse, void *target)
{
	/* What ends the machine under systemd ends the instance here. */
	static const struct {
		const char *word;
		enum unit_action action;
		bool is_power;
	} words[] = {
		{"none", ACTION_NONE, false},
		{"exit", ACTION_EXIT, false},
		{"exit-force", ACTION_EXIT_FORCE, false},
		{"reboot", ACTION_EXIT, true},
		{"poweroff", ACTION_EXIT, true},
		{"halt", ACTION_EXIT, true},
		{"kexec", ACTION_EXIT, true},
		{"reboot-force", ACTION_EXIT_FORCE, true},
		{"poweroff-force", ACTION_EXIT_FORCE, true},
		{"reboot-immediate", ACTION_EXIT_FORCE, true},
		{"poweroff-immediate", ACTION_EXIT_FORCE, true},
	};

	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		if (strcmp(words[i].word, parse->value) != 0)
			continue;
		*(uint32_t *)target = words[i].action;
		*((bool *)parse->unit + parse->directive->argument) = true;
		if (words[i].is_power)
			parse_warning(parse, 0,
				      "%s is taken as exit: what becomes of the machine is said by "
				      "FailedBoot= and by whoever runs it",
				      parse->value);
		return;
	}
	parse_error(parse, 0, "\"%s\": expected none, exit or exit-force", parse->value);
}

void parse_action_status(const struct parse *parse, void *target)
{
	int32_t status;

	if (!*parse->value)
		*(uint32_t *)target = 256;
	else if (value_int(parse->value, 0, 255, &status) < 0)
		parse_error(parse, 0, "\"%s\": expected an exit status from 0 to 255",
			    parse->value);
	else
		*(uint32_t *)target = (uint32_t)status;
}

void parse_notify_access(const struct parse *parse, void *target)
{
	parse->unit->has_notify_access = true;
	parse_enum(parse, target);
}

void parse_restart_kill_signal(const struct parse *parse, void *target)
{
	parse->unit->has_restart_kill_signal = true;
	parse_signal(parse, target);
}
