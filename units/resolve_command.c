/*
 * Command lines: variables become what they hold, programs are searched, and what would be a shell for
 * somebody is refused.
 */
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/check.h"
#include "units/environment.h"
#include "units/resolving.h"
#include "units/search.h"
#include "units/shells.h"
#include "units/words.h"

/* ---------------------------------------------------------------- variables */

#define ARGUMENTS_BYTES_MAX (1U << 20) /* execve(2) takes 2 MiB, the environment included */

struct expanding {
	struct resolving *r;
	const struct exec_line *line;
	struct strings *out;
	size_t size; /* of what values brought */
};

static bool is_name(const char *word, const char *name, size_t length)
{
	return strlen(word) == length && strncmp(word, name, length) == 0;
}

/* The secret that the variable holds, or is the source of; NULL. */
static const struct secret *find_secret(const struct unit *unit, const char *name, size_t length)
{
	for (size_t i = 0; i < unit->secrets.count; i++) {
		const struct secret *secret = &unit->secrets.items[i];
		if (secret->delivery != SECRET_FILE && is_name(secret->name, name, length))
			return secret;
		if (str_starts(secret->reference, "env:") && !(secret->flags & SECRET_IS_CONFIG) &&
		    is_name(secret->reference + 4, name, length))
			return secret;
	}
	return NULL;
}

static const char *runtime_value(const char *name, size_t length)
{
	static const struct {
		const char *name;
		char value[2];
	} rows[] = {
		{"MAINPID", {PLAN_ARG_MAINPID}},       {"SERVICE_RESULT", {PLAN_ARG_RESULT}},
		{"EXIT_CODE", {PLAN_ARG_EXIT_CODE}},   {"EXIT_STATUS", {PLAN_ARG_EXIT_STATUS}},
		{"NOTIFY_SOCKET", {UNIT_BYTE_NOTIFY}},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		if (is_name(rows[i].name, name, length))
			return rows[i].value;
	}
	return NULL;
}

/* Never NULL: what cannot be had is empty, and said. */
static const char *variable_value(struct expanding *e, const char *name, size_t length)
{
	struct report *report = &e->r->units->report;
	const struct unit *unit = e->r->unit;
	int shown = (int)MIN(length, 200U);

	const struct secret *secret = find_secret(unit, name, length);
	if (secret) {
		report_error(
			report, &e->line->at,
			secret->flags & SECRET_IS_CONFIG
				? "${%.*s} is fetched when the unit starts: expected the program "
				  "to read its environment"
				: "${%.*s} holds a secret, which a command line would show to "
				  "everybody: expected the program to read its environment or a "
				  "SecretFile=",
			shown, name);
		return "";
	}
	const char *value = environment_get(&unit->final_environment, name, length);
	if (!value)
		value = runtime_value(name, length);
	if (value) {
		e->size += strlen(value);
		return e->size <= ARGUMENTS_BYTES_MAX ? value : "";
	}
	report_warning(report, &e->line->at, "${%.*s} is not set, and is taken as empty", shown,
		       name);
	return "";
}

/* $NAME as a word of its own: the value's words, none when it is empty. */
static void expand_split(struct expanding *e, const char *name)
{
	struct arena *arena = &e->r->units->arena;
	const char *value = variable_value(e, name, strlen(name));
	char *word;

	while (words_next(arena, &value, WORDS_UNQUOTE | WORDS_RELAX, &word) == WORDS_FOUND)
		strings_add(arena, e->out, word);
}

/* ${NAME} anywhere in a word; $$ is a dollar sign. */
static void expand_inside(struct expanding *e, const char *word)
{
	struct text out = {.arena = &e->r->units->arena};

	while (*word) {
		size_t length = word[0] == '$' && word[1] == '{' ? strcspn(word + 2, "}") : 0;
		if (word[0] == '$' && word[1] == '$') {
			text_addc(&out, '$');
			word += 2;
		} else if (length > 0 && word[2 + length] == '}' &&
			   environment_name_is_valid(word + 2, length)) {
			text_adds(&out, variable_value(e, word + 2, length));
			word += length + 3;
		} else {
			text_addc(&out, *word++);
		}
	}
	strings_add(out.arena, e->out, text_end(&out));
}

static void expand_words(struct resolving *r, struct exec_line *line)
{
	struct strings out = {0};
	struct expanding e = {r, line, &out, 0};

	if (line->is_literal)
		return;
	for (size_t i = 0; i < line->words.count; i++) {
		const char *word = line->words.items[i];
		if (i > 0 && word[0] == '$' && word[1] &&
		    environment_name_is_valid(word + 1, strlen(word + 1)))
			expand_split(&e, word + 1);
		else if (i > 0 && strchr(word, '$'))
			expand_inside(&e, word);
		else
			strings_add(&r->units->arena, &out, word);
	}
	if (e.size > ARGUMENTS_BYTES_MAX)
		report_error(&r->units->report, &line->at,
			     "variables make a command line of %zu bytes: expected at most %u",
			     e.size, ARGUMENTS_BYTES_MAX);
	line->words = out;
}

/* ---------------------------------------------------------------- programs */

/* kill [-SIGNAL | -s SIGNAL | --] $MAINPID: holdfast does it itself. */
static bool is_simple_kill(const struct exec_line *line)
{
	static const char main_pid[] = {PLAN_ARG_MAINPID, '\0'};
	const struct strings *words = &line->words;
	bool has_pid = false;
	uint32_t number;

	if (strcmp(line->path, "/bin/kill") != 0 && strcmp(line->path, "/usr/bin/kill") != 0)
		return false;
	for (size_t i = 1; i < words->count; i++) {
		const char *word = words->items[i];
		if (strcmp(word, "--") == 0)
			continue;
		if (strcmp(word, "-s") == 0 && i + 1 < words->count)
			word = words->items[++i];
		else if (strcmp(word, main_pid) == 0)
			has_pid = true;
		else if (*word == '-')
			word++;
		if (strcmp(word, main_pid) != 0 && value_signal(word, &number) < 0)
			return false;
	}
	return has_pid;
}

/* A condition of the unit asks for that very file, so the unit may do without it. */
static bool is_condition(const struct unit *unit, const char *path)
{
	for (size_t i = 0; i < unit->conditions.count; i++) {
		if (strcmp(unit->conditions.items[i].parameter, path) == 0)
			return true;
	}
	return false;
}

static void say_missing(struct resolving *r, const struct exec_line *line, int error)
{
	struct report *report = &r->units->report;
	const char *why = error == -EACCES ? "is no executable file" : strerror(-error);

	if (r->unit->plan.flags & UNIT_IS_MAIN)
		report_failure(report, &line->at, error == -EACCES ? 126 : 127, "%s: %s",
			       line->path, error == -EACCES ? "not executable" : "not found");
	else if (line->flags & EXEC_IGNORE_FAILURE || is_condition(r->unit, line->path))
		report_warning(report, &line->at, "%s: %s", line->path, why);
	else
		report_absence(report, &line->at, EX_CONFIG, "%s: %s", line->path, why);
}

/* Only a command from outside may be relative; "" is the root. */
static const char *command_directory(const struct resolving *r)
{
	const struct units_command *command = r->units->request.command;

	if (r->unit->working_path)
		return r->unit->working_path;
	return command && command->directory && command->directory[1] ? command->directory : "";
}

static int find_program(struct resolving *r, struct exec_line *line)
{
	const char *folders = SEARCH_DEFAULT_PATH;

	if (*line->path == '/')
		return search_check(r->units, r->unit, line->path);
	if (strchr(line->path, '/')) {
		line->path =
			arena_printf(&r->units->arena, "%s/%s", command_directory(r), line->path);
		return search_check(r->units, r->unit, line->path);
	}
	if (r->unit->plan.flags & UNIT_INHERIT_ENVIRONMENT) {
		const char *assignment = resolving_variable(r->units, "PATH", 4);
		folders = assignment ? assignment + 5 : folders;
	} else if (r->unit->plan.flags & UNIT_IS_MAIN) {
		folders = environment_get(&r->unit->final_environment, "PATH", 4);
		folders = folders ? folders : SEARCH_DEFAULT_PATH;
	}
	return search_program(r->units, r->unit, line->path, folders, &line->path);
}

static const char *follow_program(void *context, const char *program)
{
	struct resolving *r = context;
	const char *path = program;
	char *resolved;

	if (*program != '/' &&
	    search_program(r->units, r->unit, program, SEARCH_DEFAULT_PATH, &path) < 0)
		return NULL;
	path = search_outside(r->units, r->unit, path);
	if (source_executable(&r->units->source, path) < 0 ||
	    source_resolve(&r->units->source, path, &resolved) < 0)
		return NULL;
	return resolved;
}

static void refuse_shells(struct resolving *r, const struct exec_line *line)
{
	const char *refusal = shells_refusal(line->path, &line->words, follow_program, r);

	if (refusal)
		check_refused(r->units, &line->at, line->path, refusal);
}

/* A sign that only a shell understands. */
static bool is_shell_syntax(const char *word)
{
	static const char *const signs[] = {"|",  "||",	 "&&",	 "&",	">",	">>", "<",
					    "2>", "2>>", "2>&1", ">&2", "1>&2", "&>", ">/dev/null"};

	for (size_t i = 0; i < ARRAY_COUNT(signs); i++) {
		if (strcmp(word, signs[i]) == 0)
			return true;
	}
	return false;
}

/* No error, as expr(1) has an argument "|", too. What came behind -- a shell has read already. */
static void warn_of_shell_syntax(struct resolving *r, const struct exec_line *line)
{
	if (r->unit->plan.flags & UNIT_IS_MAIN)
		return;
	for (size_t i = 1; i < line->words.count; i++) {
		const char *word = line->words.items[i];
		if (is_shell_syntax(word)) {
			report_warning(
				&r->units->report, &line->at,
				"%s: no shell reads this line: \"%s\" is passed on as an argument",
				line->path, word);
			return;
		}
	}
}

static void resolve_line(struct resolving *r, struct exec_line *line)
{
	warn_of_shell_syntax(r, line);
	expand_words(r, line);
	if (is_simple_kill(line)) {
		line->flags |= EXEC_BUILTIN_KILL;
		return;
	}
	int error = find_program(r, line);
	if (error < 0)
		say_missing(r, line, error);
	refuse_shells(r, line);
}

static void resolve_lines(struct resolving *r, struct exec_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++)
		resolve_line(r, &lines->items[i]);
}

void resolve_commands(struct resolving *r)
{
	for (int phase = 0; phase < EXEC_PHASE_COUNT; phase++)
		resolve_lines(r, &r->unit->exec[phase]);
	for (int kind = 0; kind < PROBE_KIND_COUNT; kind++)
		resolve_lines(r, &r->unit->probes[kind].exec);
}
