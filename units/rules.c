#include "units/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "units/environment.h"
#include "units/interpreter.h"
#include "units/shells.h"
#include "units/words.h"

#define RULE_ALL	 (RULE_EXECUTE | RULE_READ | RULE_LIST | RULE_WRITE)
#define INTERPRETERS_MAX 5 /* of interpreters: execve(2) */
#define RULES_MAX	 1024
#define DEFAULT_PATH	 "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A key's words, resolved: what lies at and below the path is allowed, or is not. */
struct limit_of_paths {
	const char *path;
	bool is_allowed;
	const struct allowed_path *from;
};

struct deriving {
	struct units *units;
	struct unit *unit;
	const char *root; /* RootDirectory=, "" when there is none */
	struct {
		struct limit_of_paths *items;
		size_t count, capacity;
	} limits;
	uint32_t rights; /* that the limits are about */
	dev_t device;	 /* of the image; 0: unknown */
};

static void add_rule(struct deriving *d, const char *path, uint32_t rights)
{
	struct rules *rules = &d->unit->rules;

	for (size_t i = 0; i < rules->count; i++) {
		if (strcmp(rules->items[i].path, path) != 0)
			continue;
		rules->items[i].rights |= rights;
		return;
	}
	if (rules->count < RULES_MAX)
		*LIST_ADD(&d->units->arena, rules) = (struct rule){path, rights};
}

/* ---------------------------------------------------------------- programs */

static const char *outside(const struct deriving *d, const char *path)
{
	return *d->root ? arena_printf(&d->units->arena, "%s%s", d->root, path) : path;
}

static const char *search(const struct deriving *d, const char *name)
{
	const char *folders = environment_get(&d->unit->final_environment, "PATH", 4);

	if (*name == '/' || !*name)
		return *name ? name : NULL;
	if (strchr(name, '/'))
		return NULL;
	for (folders = folders ? folders : DEFAULT_PATH; *folders;) {
		size_t length = strcspn(folders, ":");
		const char *path =
			arena_printf(&d->units->arena, "%.*s/%s", (int)length, folders, name);
		folders += length + (folders[length] == ':');
		if (*path == '/' && source_executable(&d->units->source, outside(d, path)) == 0)
			return path;
	}
	return NULL;
}

static void add_program(struct deriving *d, const char *path, unsigned depth);

/* env is there to start another: of "#!/usr/bin/env -S node --x" that is node. */
static void add_wrapped(struct deriving *d, const char *words, unsigned depth)
{
	struct arena *arena = &d->units->arena;
	char *word;

	while (words_next(arena, &words, WORDS_UNQUOTE | WORDS_RELAX, &word) == WORDS_FOUND) {
		const char *found = *word == '-' || strchr(word, '=') ? NULL : search(d, word);
		if (found && source_executable(&d->units->source, outside(d, found)) == 0) {
			add_program(d, found, depth);
			return;
		}
	}
}

static void add_program(struct deriving *d, const char *path, unsigned depth)
{
	struct source *source = &d->units->source;
	struct interpreter interpreter;
	char *resolved;

	if (depth > INTERPRETERS_MAX || source_resolve(source, outside(d, path), &resolved) < 0)
		return;
	add_rule(d, resolved, RULE_EXECUTE | RULE_READ);
	if (interpreter_find(source, resolved, &interpreter) < 0 || !interpreter.path ||
	    *interpreter.path != '/')
		return;
	add_program(d, interpreter.path, depth + 1);
	if (interpreter.argument && shells_is_wrapper(str_base_name(interpreter.path)))
		add_wrapped(d, interpreter.argument, depth + 1);
}

/* A program that a command line names, as PATH or as --option=PATH; behind env and its like by name
 * alone, too. */
static void add_named(struct deriving *d, const char *word, bool is_behind_wrapper)
{
	const char *equals = strchr(word, '=');

	if (*word != '/' && equals && equals[1] == '/')
		word = equals + 1;
	if (*word != '/' && !is_behind_wrapper)
		return;
	const char *path = search(d, word);
	if (path && source_executable(&d->units->source, outside(d, path)) == 0)
		add_program(d, path, 0);
}

static void add_commands(struct deriving *d, const struct exec_lines *lines)
{
	for (size_t i = 0; i < lines->count; i++) {
		const struct exec_line *line = &lines->items[i];
		bool is_wrapper = shells_is_wrapper(str_base_name(line->path));
		if (line->flags & (EXEC_BUILTIN_KILL | EXEC_FULL_RIGHTS))
			continue;
		add_program(d, line->path, 0);
		for (size_t word = 1; word < line->words.count; word++)
			add_named(d, line->words.items[word], is_wrapper);
	}
}

static void add_all_commands(struct deriving *d)
{
	for (int phase = 0; phase < EXEC_PHASE_COUNT; phase++)
		add_commands(d, &d->unit->exec[phase]);
	for (int kind = 0; kind < PROBE_KIND_COUNT; kind++)
		add_commands(d, &d->unit->probes[kind].exec);
}

/* ---------------------------------------------------------------- paths */

/* What exists of the path with its links followed; the rest as it is. */
static const char *resolve(struct deriving *d, const char *path)
{
	struct arena *arena = &d->units->arena;
	char *resolved;

	if (strcmp(path, "/") == 0)
		return path;
	for (const char *end = path + strlen(path); end > path;) {
		const char *head = arena_copy(arena, path, (size_t)(end - path));
		if (source_resolve(&d->units->source, head, &resolved) == 0) {
			bool is_root = *resolved == '\0' || strcmp(resolved, "/") == 0;
			const char *found =
				arena_printf(arena, "%s%s", is_root ? "" : resolved, end);
			return *found ? found : "/";
		}
		do {
			end--;
		} while (end > path && *end != '/');
	}
	return path;
}

static bool is_below(const char *path, const char *above)
{
	size_t length = strcmp(above, "/") == 0 ? 0 : strlen(above);

	return strncmp(path, above, length) == 0 && path[length] == '/' && path[length + 1];
}

static bool is_at_or_below(const char *path, const char *above)
{
	return strcmp(path, above) == 0 || is_below(path, above);
}

static bool is_in_scratch(const struct scratches *list, const char *path)
{
	for (size_t i = 0; i < list->count; i++) {
		if (is_at_or_below(path, list->items[i].path))
			return true;
	}
	return false;
}

/* Not the image's alone: something new may come to lie there while the instance runs. */
static bool is_changeable(const struct deriving *d, const char *path)
{
	static const char *const always[] = {"/run", "/tmp", "/var/tmp", "/dev", "/proc", "/sys"};

	for (size_t i = 0; i < ARRAY_COUNT(always); i++) {
		if (is_at_or_below(path, always[i]))
			return true;
	}
	for (int type = 0; type < DIRECTORY_TYPE_COUNT; type++) {
		const struct settings *list = &d->unit->directories[type];
		for (size_t i = 0; i < list->count; i++) {
			if (is_at_or_below(path, list->items[i].text))
				return true;
		}
	}
	return is_in_scratch(&d->units->conf.scratch, path) ||
	       is_in_scratch(&d->unit->scratch, path);
}

static const char *const key_names[PATH_KEY_COUNT] = {
	[PATHS_EXEC] = "ExecPaths",
	[PATHS_NO_EXEC] = "NoExecPaths",
	[PATHS_READ_WRITE] = "ReadWritePaths",
	[PATHS_READ_ONLY] = "ReadOnlyPaths",
	[PATHS_INACCESSIBLE] = "InaccessiblePaths",
};

/* The paths of the key, as limits. */
static void add_limits(struct deriving *d, enum path_key key, bool is_allowed)
{
	const struct allowed_paths *list = &d->unit->paths[key];

	for (size_t i = 0; i < list->count; i++) {
		const struct allowed_path *from = &list->items[i];
		const char *path = from->is_inside ? outside(d, from->path) : from->path;
		*LIST_ADD(&d->units->arena, &d->limits) =
			(struct limit_of_paths){resolve(d, path), is_allowed, from};
	}
}

static void say_missing(struct deriving *d, enum path_key key)
{
	const struct allowed_paths *list = &d->unit->paths[key];
	mode_t mode;

	for (size_t i = 0; i < list->count; i++) {
		const struct allowed_path *from = &list->items[i];
		const char *path =
			resolve(d, from->is_inside ? outside(d, from->path) : from->path);
		if (!from->is_optional && !is_changeable(d, path) &&
		    source_mode(&d->units->source, path, &mode) == -ENOENT)
			report_warning(&d->units->report, &from->at,
				       "%s=: %s does not exist, so it says nothing: expected a "
				       "path of the image, or \"-\" before it",
				       key_names[key], from->path);
	}
}

/* Of two limits on one path the one that takes away counts. */
static bool is_allowed_at(const struct deriving *d, const char *path, bool inherited)
{
	bool result = inherited;

	for (size_t i = 0; i < d->limits.count; i++) {
		if (strcmp(d->limits.items[i].path, path) != 0)
			continue;
		if (!d->limits.items[i].is_allowed)
			return false;
		result = true;
	}
	return result;
}

/* A limit of the other kind that lies strictly below path, or NULL. */
static const struct limit_of_paths *find_below(const struct deriving *d, const char *path,
					       bool is_allowed)
{
	for (size_t i = 0; i < d->limits.count; i++) {
		if (d->limits.items[i].is_allowed == is_allowed &&
		    is_below(d->limits.items[i].path, path))
			return &d->limits.items[i];
	}
	return NULL;
}

/* Whether the nearest limit above the one at path is at above, or there is none in between. */
static bool is_next_below(const struct deriving *d, const char *path, const char *above)
{
	for (size_t i = 0; i < d->limits.count; i++) {
		const char *between = d->limits.items[i].path;
		if (is_below(between, above) && is_below(path, between))
			return false;
	}
	return true;
}

/* The names in the directory, which must lie on the image. 0 or -errno. */
static int list_directory(struct deriving *d, const char *path, struct listing *ret_listing)
{
	struct stat st;

	if (is_changeable(d, path))
		return -EXDEV;
	CLEANUP(fd_closep)
	int fd = source_open(&d->units->source, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || (d->device != 0 && st.st_dev != d->device))
		return -EXDEV;
	return listing_read(ret_listing, fd);
}

static struct strings list_names(struct deriving *d, const char *path, int *ret_error)
{
	struct listing *listing = &d->units->listing;
	struct strings names = {0};
	enum listing_kind kind;
	size_t at = 0;
	const char *name;

	*ret_error = list_directory(d, path, listing);
	while (*ret_error == 0 && (name = listing_next(listing, &at, &kind))) {
		if (kind != LISTING_OTHER)
			strings_add(&d->units->arena, &names, arena_string(&d->units->arena, name));
	}
	listing_finish(listing);
	return names;
}

static void spread(struct deriving *d, const char *path, bool is_allowed);

/* Everything in the directory but what the limits take away. */
static void spread_directory(struct deriving *d, const char *path)
{
	const struct limit_of_paths *limit = find_below(d, path, false);
	bool is_root = strcmp(path, "/") == 0;
	int error;
	struct strings names = list_names(d, path, &error);

	if (error < 0) {
		if (error != -ENOENT)
			report_warning(&d->units->report, &limit->from->at,
				       "%s cannot be taken away from what lies beside it: new "
				       "files may come to lie in %s, and Landlock only adds "
				       "rights; it has no effect",
				       limit->path, path);
		add_rule(d, path, d->rights);
		return;
	}
	for (size_t i = 0; i < names.count; i++)
		spread(d,
		       arena_printf(&d->units->arena, "%s/%s", is_root ? "" : path, names.items[i]),
		       true);
}

/* Rules for what lies at and below path, of which the limit above it says is_allowed. */
static void spread(struct deriving *d, const char *path, bool is_allowed)
{
	is_allowed = is_allowed_at(d, path, is_allowed);
	if (is_allowed) {
		if (find_below(d, path, false))
			spread_directory(d, path);
		else
			add_rule(d, path, d->rights);
		return;
	}
	for (size_t i = 0; i < d->limits.count; i++) {
		const struct limit_of_paths *limit = &d->limits.items[i];
		if (limit->is_allowed && is_below(limit->path, path) &&
		    is_next_below(d, limit->path, path))
			spread(d, limit->path, true);
	}
}

static void spread_all(struct deriving *d, uint32_t rights, bool is_allowed)
{
	d->rights = rights;
	spread(d, "/", is_allowed);
	d->limits.count = 0;
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

/* Its own copy of what it may read, without what it must not see. */
static void add_readable(struct deriving *d)
{
	struct rules rules = {0};
	const struct rules *from = &d->units->shared_rules;

	if (*d->root) {
		read_tree(d->units, d->root, &rules);
		from = &rules;
	}
	for (size_t i = 0; i < from->count; i++) {
		const struct rule *rule = &from->items[i];
		/* A right to list / would be one to list what is inaccessible. */
		bool is_all = strcmp(rule->path, "/") == 0;
		uint32_t rights = is_all && d->limits.count > 0 ? 0 : rule->rights;
		d->rights = rights == RULE_READ ? RULE_READ | RULE_LIST : rights;
		if (d->rights)
			spread(d, rule->path, true);
	}
	d->limits.count = 0;
}

static void make_strict(struct deriving *d)
{
	d->unit->plan.denied_rights = RULE_ALL;
	add_all_commands(d);
	add_limits(d, PATHS_EXEC, true);
	add_limits(d, PATHS_NO_EXEC, false);
	add_limits(d, PATHS_INACCESSIBLE, false);
	spread_all(d, RULE_EXECUTE | RULE_READ, false);
	add_limits(d, PATHS_READ_WRITE, true);
	add_limits(d, PATHS_READ_ONLY, false);
	add_limits(d, PATHS_INACCESSIBLE, false);
	spread_all(d, RULE_READ | RULE_LIST | RULE_WRITE, false);
	share_rules(d->units);
	d->unit->has_shared_rules = !*d->root && d->unit->paths[PATHS_INACCESSIBLE].count == 0;
	add_limits(d, PATHS_INACCESSIBLE, false);
	if (!d->unit->has_shared_rules)
		add_readable(d);
}

static void make_as_unit(struct deriving *d)
{
	const struct allowed_paths *paths = d->unit->paths;
	bool is_hidden = paths[PATHS_INACCESSIBLE].count > 0;
	uint32_t *denied = &d->unit->plan.denied_rights;

	if (is_hidden || paths[PATHS_NO_EXEC].count > 0) {
		*denied |= RULE_EXECUTE;
		add_all_commands(d);
		add_limits(d, PATHS_EXEC, true);
		add_limits(d, PATHS_NO_EXEC, false);
		add_limits(d, PATHS_INACCESSIBLE, false);
		spread_all(d, RULE_EXECUTE, true);
	}
	if (is_hidden || paths[PATHS_READ_ONLY].count > 0) {
		*denied |= RULE_WRITE;
		add_limits(d, PATHS_READ_WRITE, true);
		add_limits(d, PATHS_READ_ONLY, false);
		add_limits(d, PATHS_INACCESSIBLE, false);
		spread_all(d, RULE_WRITE, true);
		/* A read-only mount, which systemd makes of these keys, has writable devices. */
		add_rule(d, "/dev", RULE_WRITE);
	}
	if (is_hidden) {
		*denied |= RULE_READ | RULE_LIST;
		add_limits(d, PATHS_INACCESSIBLE, false);
		spread_all(d, RULE_READ | RULE_LIST, true);
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
	const char *root = unit->root_directory.text;
	struct deriving d = {
		.units = units, .unit = unit, .root = root ? root : "", .device = device};

	if (strcmp(d.root, "/") == 0)
		d.root = "";
	for (int key = 0; key < PATH_KEY_COUNT; key++)
		say_missing(&d, (enum path_key)key);
	if (unit->plan.sandbox == UNIT_SANDBOX_STRICT)
		make_strict(&d);
	else if (unit->plan.sandbox == UNIT_SANDBOX_UNIT)
		make_as_unit(&d);
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
