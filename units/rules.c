#include "units/rules.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "units/environment.h"
#include "units/interpreter.h"
#include "units/search.h"
#include "units/shells.h"
#include "units/spread.h"
#include "units/words.h"

#define RULE_ALL	 (RULE_EXECUTE | RULE_READ | RULE_LIST | RULE_WRITE)
#define INTERPRETERS_MAX 5 /* of interpreters: execve(2) */

/* ---------------------------------------------------------------- programs */

/* The program that the unit means by the word, which may be a name alone; NULL: none. */
static const char *find_program(struct spreading *s, const char *word)
{
	const char *folders = environment_get(&s->unit->final_environment, "PATH", 4);
	const char *path;

	if (*word == '/')
		return search_check(s->units, s->unit, word) == 0 ? word : NULL;
	if (!*word || strchr(word, '/') ||
	    search_program(s->units, s->unit, word, folders ? folders : SEARCH_DEFAULT_PATH,
			   &path) < 0)
		return NULL;
	return path;
}

static void add_program(struct spreading *s, const char *path, unsigned depth);

/* env is there to start another: of "#!/usr/bin/env -S node --x" that is node. */
static void add_wrapped(struct spreading *s, const char *words, unsigned depth)
{
	struct arena *arena = &s->units->arena;
	char *word;

	while (words_next(arena, &words, WORDS_UNQUOTE | WORDS_RELAX, &word) == WORDS_FOUND) {
		const char *found =
			*word == '-' || strchr(word, '=') ? NULL : find_program(s, word);
		if (found) {
			add_program(s, found, depth);
			return;
		}
	}
}

static void add_program(struct spreading *s, const char *path, unsigned depth)
{
	struct source *source = &s->units->source;
	struct interpreter interpreter;
	char *resolved;

	if (depth > INTERPRETERS_MAX ||
	    source_resolve(source, search_outside(s->units, s->unit, path), &resolved) < 0)
		return;
	spread_add_rule(s, resolved, RULE_EXECUTE | RULE_READ);
	if (interpreter_find(source, resolved, &interpreter) < 0 || !interpreter.path ||
	    *interpreter.path != '/')
		return;
	add_program(s, interpreter.path, depth + 1);
	if (interpreter.argument && shells_is_wrapper(str_base_name(interpreter.path)))
		add_wrapped(s, interpreter.argument, depth + 1);
}

/* A program that a command line names, as PATH or as --option=PATH; behind env and its like by name
 * alone, too. */
static void add_named(struct spreading *s, const char *word, bool is_behind_wrapper)
{
	const char *equals = strchr(word, '=');

	if (*word != '/' && equals && equals[1] == '/')
		word = equals + 1;
	if (*word != '/' && !is_behind_wrapper)
		return;
	const char *path = find_program(s, word);
	if (path)
		add_program(s, path, 0);
}

static void add_commands(struct spreading *s, const struct exec_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++) {
		const struct exec_line *line = &lines->items[i];
		bool is_wrapper = shells_is_wrapper(str_base_name(line->path));
		if (line->flags & (EXEC_BUILTIN_KILL | EXEC_FULL_RIGHTS))
			continue;
		add_program(s, line->path, 0);
		for (size_t word = 1; word < line->words.count; word++)
			add_named(s, line->words.items[word], is_wrapper);
	}
}

static void add_all_commands(struct spreading *s)
{
	for (int phase = 0; phase < EXEC_PHASE_COUNT; phase++)
		add_commands(s, &s->unit->exec[phase]);
	for (int kind = 0; kind < PROBE_KIND_COUNT; kind++)
		add_commands(s, &s->unit->probes[kind].exec);
}

/* ---------------------------------------------------------------- sandboxes */

static void add_shared(struct rules *rules, struct arena *arena, const char *path, uint32_t rights)
{
	*LIST_ADD(arena, rules) = (struct rule){path, rights};
}

/* The devices that are nobody's (PrivateDevices= of systemd.exec(5)), and shared memory. */
static void add_devices(struct rules *rules, struct arena *arena)
{
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
					      "/dev/urandom"};

	for (size_t i = 0; i < ARRAY_COUNT(devices); i++)
		add_shared(rules, arena, devices[i], RULE_DEVICE);
	add_shared(rules, arena, "/dev/shm", RULE_READ | RULE_WRITE | RULE_LIST);
}

static void copy_paths(struct units *units, const struct readable_list *list,
		       struct strings *ret_paths)
{
	const char *path = NULL;

	while ((path = readable_next(list, path)))
		strings_add(&units->arena, ret_paths, arena_string(&units->arena, path));
}

static void say_readable_programs(struct units *units, const struct strings *programs)
{
	const struct where at = {.file = units->conf.file};

	for (size_t i = 0; i < programs->count; i++)
		report_warning(&units->report, &at,
			       "%s is a program among more than %d other files, so strict units "
			       "can read it: expected it in a folder of its own",
			       programs->items[i], READABLE_PIECES_MAX);
}

static int find_readable(struct units *units, const char *root, struct readable *readable)
{
	CLEANUP(fd_closep)
	int fd = source_open(&units->source, *root ? root : "/", O_RDONLY | O_DIRECTORY);

	return fd < 0 ? fd : readable_find(readable, fd, root);
}

static void read_tree(struct units *units, const char *root, struct rules *rules)
{
	struct strings pieces = {0}, programs = {0};

	if (find_readable(units, root, &units->readable) < 0)
		add_shared(rules, &units->arena, *root ? root : "/", RULE_READ);
	copy_paths(units, &units->readable.pieces, &pieces);
	copy_paths(units, &units->readable.programs, &programs);
	readable_finish(&units->readable);
	add_shared(rules, &units->arena, "/", RULE_LIST);
	for (size_t i = 0; i < pieces.count; i++)
		add_shared(rules, &units->arena, pieces.items[i], RULE_READ);
	add_devices(rules, &units->arena);
	say_readable_programs(units, &programs);
}

static void share_rules(struct units *units)
{
	if (!units->is_tree_read)
		read_tree(units, "", &units->shared_rules);
	units->is_tree_read = true;
}

/* RootDirectory=, or "". */
static const char *find_root(const struct spreading *s)
{
	return search_outside(s->units, s->unit, "");
}

/* Its own copy of what it may read, without what it must not see. */
static void add_readable(struct spreading *s)
{
	struct rules rules = {0};
	const struct rules *from = &s->units->shared_rules;
	const char *root = find_root(s);

	if (*root) {
		read_tree(s->units, root, &rules);
		from = &rules;
	}
	for (size_t i = 0; i < from->count; i++) {
		const struct rule *rule = &from->items[i];
		bool is_all = strcmp(rule->path, "/") == 0;
		/* A right to list / would be one to list what is inaccessible. */
		if (is_all && s->limits.count > 0)
			continue;
		spread_rights(s, rule->path,
			      rule->rights == RULE_READ ? RULE_READ | RULE_LIST : rule->rights,
			      true);
	}
}

#define KEYS_OF_EXECUTION \
	(SPREAD_KEY(PATHS_EXEC) | SPREAD_KEY(PATHS_NO_EXEC) | SPREAD_KEY(PATHS_INACCESSIBLE))
#define KEYS_OF_WRITING                                               \
	(SPREAD_KEY(PATHS_READ_WRITE) | SPREAD_KEY(PATHS_READ_ONLY) | \
	 SPREAD_KEY(PATHS_INACCESSIBLE))

static void make_strict(struct spreading *s)
{
	s->unit->plan.denied_rights = RULE_ALL;
	add_all_commands(s);
	spread_set_limits(s, KEYS_OF_EXECUTION);
	spread_rights(s, "/", RULE_EXECUTE | RULE_READ, false);
	spread_set_limits(s, KEYS_OF_WRITING);
	spread_rights(s, "/", RULE_READ | RULE_LIST | RULE_WRITE, false);
	share_rules(s->units);
	spread_set_limits(s, SPREAD_KEY(PATHS_INACCESSIBLE));
	s->unit->has_shared_rules = s->limits.count == 0 && !*find_root(s);
	if (!s->unit->has_shared_rules)
		add_readable(s);
}

static void make_as_unit(struct spreading *s)
{
	const struct allowed_paths *paths = s->unit->paths;
	bool is_hidden = paths[PATHS_INACCESSIBLE].count > 0;
	uint32_t *denied = &s->unit->plan.denied_rights;

	if (is_hidden || paths[PATHS_NO_EXEC].count > 0) {
		*denied |= RULE_EXECUTE;
		add_all_commands(s);
		spread_set_limits(s, KEYS_OF_EXECUTION);
		spread_rights(s, "/", RULE_EXECUTE, true);
	}
	if (is_hidden || paths[PATHS_READ_ONLY].count > 0) {
		*denied |= RULE_WRITE;
		spread_set_limits(s, KEYS_OF_WRITING);
		spread_rights(s, "/", RULE_WRITE, true);
		/* A read-only mount, which systemd makes of these keys, has writable devices. */
		spread_add_rule(s, "/dev", RULE_WRITE);
	}
	if (is_hidden) {
		*denied |= RULE_READ | RULE_LIST;
		spread_set_limits(s, SPREAD_KEY(PATHS_INACCESSIBLE));
		spread_rights(s, "/", RULE_READ | RULE_LIST, true);
	}
}

static dev_t find_device(struct units *units)
{
	struct stat st;

	CLEANUP(fd_closep) int fd = source_open(&units->source, "/", O_RDONLY | O_DIRECTORY);
	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_dev : 0;
}

static void settle(struct units *units, struct unit *unit, dev_t device)
{
	struct spreading spreading = {.units = units, .unit = unit, .device = device};

	for (int key = 0; key < PATH_KEY_COUNT; key++)
		spread_say_missing(&spreading, (enum path_key)key);
	if (unit->plan.sandbox == UNIT_SANDBOX_STRICT)
		make_strict(&spreading);
	else if (unit->plan.sandbox == UNIT_SANDBOX_UNIT)
		make_as_unit(&spreading);
	if (unit->rules.count == RULES_MAX)
		report_warning(&units->report, &unit->section_at,
			       "%s: its paths come apart into more than %d rules; what lies beyond "
			       "is denied",
			       unit->name.full, RULES_MAX);
}

void rules_settle(struct units *units)
{
	/* The tree that is looked at is not the instance's. */
	if (units->report.is_offline)
		return;
	dev_t device = find_device(units);
	for (size_t i = 0; i < units->count; i++) {
		struct unit *unit = units->items[i];
		if (unit->name.kind == UNIT_SERVICE && !unit->is_masked && !unit->is_missing &&
		    !unit->is_foreign)
			settle(units, unit, device);
	}
}
