#include "units/resolve.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/fingerprint.h"
#include "lib/str.h"
#include "units/check.h"
#include "units/environment.h"
#include "units/shells.h"
#include "units/templates.h"
#include "units/users.h"
#include "units/values.h"
#include "units/words.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct resolving {
	struct units *units;
	struct unit *unit;
};

static const char *request_variable(const struct units *units, const char *name, size_t length)
{
	const char *const *environment = units->request.environment;

	for (; environment && *environment; environment++) {
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment;
	}
	return NULL;
}

/* ---------------------------------------------------------------- ids */

static void add_group(void *context, uint32_t gid)
{
	struct resolving *r = context;
	struct unit *unit = r->unit;
	size_t capacity = unit->n_group_ids;

	for (size_t i = 0; i < unit->n_group_ids; i++) {
		if (unit->group_ids[i] == gid)
			return;
	}
	/* Few and rare: each one may cost a copy. */
	unit->group_ids = arena_grow(&r->units->arena, unit->group_ids, unit->n_group_ids,
				     &capacity, sizeof(*unit->group_ids));
	unit->group_ids[unit->n_group_ids++] = gid;
}

static bool is_nologin(const char *shell)
{
	const char *name = str_base_name(shell);

	return strcmp(name, "nologin") == 0 || strcmp(name, "false") == 0 ||
	       strcmp(name, "true") == 0;
}

static void resolve_user(struct resolving *r)
{
	struct report *report = &r->units->report;
	struct unit *unit = r->unit;
	struct user user;

	if (!unit->user.text || !*unit->user.text)
		return;
	if (!users_find(r->units, unit->user.text, &user)) {
		report_absence(report, &unit->user.at, EX_CONFIG,
			       "User=: no user \"%s\" in /etc/passwd%s", unit->user.text,
			       unit->has_dynamic_user
				       ? ", and DynamicUser= cannot be honoured: expected one that "
					 "the image has"
				       : "");
		return;
	}
	unit->plan.uid = user.uid;
	unit->plan.gid = user.gid;
	unit->user_name = user.name;
	unit->home = *user.home == '/' && user.home[1] ? user.home : NULL;
	unit->shell = *user.shell == '/' && !is_nologin(user.shell) ? user.shell : NULL;
	if (*user.name)
		users_groups_of(r->units, user.name, add_group, r);
}

static void resolve_groups(struct resolving *r)
{
	struct report *report = &r->units->report;
	struct unit *unit = r->unit;
	uint32_t gid;

	if (unit->group.text && *unit->group.text) {
		if (users_find_group(r->units, unit->group.text, &gid))
			unit->plan.gid = gid;
		else
			report_absence(report, &unit->group.at, EX_CONFIG,
				       "Group=: no group \"%s\" in /etc/group", unit->group.text);
	}
	for (size_t i = 0; i < unit->groups.count; i++) {
		const struct setting *group = &unit->groups.items[i];
		if (users_find_group(r->units, group->text, &gid))
			add_group(r, gid);
		else
			report_absence(report, &group->at, EX_CONFIG,
				       "SupplementaryGroups=: no group \"%s\" in /etc/group",
				       group->text);
	}
}

static void resolve_dynamic_user(struct resolving *r)
{
	const struct unit *unit = r->unit;

	if (unit->has_dynamic_user && !(unit->user.text && *unit->user.text))
		report_error(
			&r->units->report, &unit->dynamic_user_at,
			"DynamicUser= cannot be honoured, and root is not what was asked for: "
			"expected User= with a user that the image has, and DynamicUser=no, in a "
			"drop-in");
}

static void resolve_socket_ids(struct resolving *r)
{
	struct report *report = &r->units->report;
	struct unit *unit = r->unit;
	struct user user;

	if (unit->socket_user.text && *unit->socket_user.text) {
		if (users_find(r->units, unit->socket_user.text, &user)) {
			unit->socket_uid = user.uid;
			unit->socket_gid = user.gid;
		} else {
			report_absence(report, &unit->socket_user.at, EX_CONFIG,
				       "SocketUser=: no user \"%s\" in /etc/passwd",
				       unit->socket_user.text);
		}
	}
	if (unit->socket_group.text && *unit->socket_group.text &&
	    !users_find_group(r->units, unit->socket_group.text, &unit->socket_gid))
		report_absence(report, &unit->socket_group.at, EX_CONFIG,
			       "SocketGroup=: no group \"%s\" in /etc/group",
			       unit->socket_group.text);
}

/* ---------------------------------------------------------------- environment */

static void set_variable(struct resolving *r, const char *assignment, const struct where *at)
{
	if (!environment_set(&r->units->arena, &r->unit->final_environment, assignment))
		report_error(&r->units->report, at, "more than %d variables", ENVIRONMENT_MAX);
}

static void set_named(struct resolving *r, const char *name, const char *value)
{
	struct where at = {.file = r->unit->file};

	set_variable(r, arena_printf(&r->units->arena, "%s=%s", name, value), &at);
}

static void set_user_variables(struct resolving *r)
{
	const struct unit *unit = r->unit;

	if (unit->user_name && *unit->user_name) {
		set_named(r, "USER", unit->user_name);
		set_named(r, "LOGNAME", unit->user_name);
	}
	if (unit->home)
		set_named(r, "HOME", unit->home);
	if (unit->shell)
		set_named(r, "SHELL", unit->shell);
}

static const struct {
	const char *root, *variable;
} directory_rows[DIRECTORY_TYPE_COUNT] = {
	[DIRECTORY_RUNTIME] = {"/run", "RUNTIME_DIRECTORY"},
	[DIRECTORY_STATE] = {"/var/lib", "STATE_DIRECTORY"},
	[DIRECTORY_CACHE] = {"/var/cache", "CACHE_DIRECTORY"},
	[DIRECTORY_LOGS] = {"/var/log", "LOGS_DIRECTORY"},
	[DIRECTORY_CONFIGURATION] = {"/etc", "CONFIGURATION_DIRECTORY"},
};

/* Names become paths, and those a variable. */
static void set_directory_variables(struct resolving *r)
{
	struct arena *arena = &r->units->arena;

	for (int type = 0; type < DIRECTORY_TYPE_COUNT; type++) {
		struct settings *list = &r->unit->directories[type];
		struct text joined = {.arena = arena};
		for (size_t i = 0; i < list->count; i++) {
			struct setting *item = &list->items[i];
			item->text =
				arena_printf(arena, "%s/%s", directory_rows[type].root, item->text);
			if (i > 0)
				text_addc(&joined, ':');
			text_adds(&joined, item->text);
		}
		if (list->count > 0)
			set_named(r, directory_rows[type].variable, text_end(&joined));
	}
}

static bool has_files(const struct unit *unit)
{
	for (size_t i = 0; i < unit->secrets.count; i++) {
		if (unit->secrets.items[i].delivery == SECRET_FILE)
			return true;
	}
	return unit->templates.count > 0;
}

static void set_credentials_variable(struct resolving *r)
{
	static const char placeholder[] = {UNIT_BYTE_CREDENTIALS, '\0'};

	if (has_files(r->unit))
		set_named(r, "CREDENTIALS_DIRECTORY", placeholder);
}

static void pass_variables(struct resolving *r)
{
	const struct settings *list = &r->unit->pass_environment;

	for (size_t i = 0; i < list->count; i++) {
		const char *name = list->items[i].text;
		const char *assignment = request_variable(r->units, name, strlen(name));
		if (!assignment)
			continue;
		if (assignment[strcspn(assignment, "\x01\x02\x03\x04\x05\x06")])
			report_error(&r->units->report, &list->items[i].at,
				     "PassEnvironment=: a control character in the value of %s",
				     name);
		else
			set_variable(r, arena_string(&r->units->arena, assignment),
				     &list->items[i].at);
	}
}

struct complaint_context {
	struct resolving *r;
	const char *path;
};

static void complain(void *context, unsigned line, const char *message)
{
	struct complaint_context *c = context;
	struct where at = {.file = c->path, .line = line, .column = 1};

	report_warning(&c->r->units->report, &at, "%s: the line is passed over", message);
}

static void read_environment_file(struct resolving *r, const struct setting *setting)
{
	bool is_optional = *setting->text == '-';
	const char *path = setting->text + is_optional;
	struct complaint_context context = {r, path};
	char *text;
	size_t size = 0;
	int result = source_read(&r->units->source, path, SOURCE_FILE_MAX, &text, &size);

	if (result == -ENOENT && is_optional)
		return;
	if (result < 0) {
		report_absence(&r->units->report, &setting->at, source_status(-result),
			       "EnvironmentFile=: %s cannot be read: %s%s", path,
			       source_strerror(-result),
			       is_optional ? "" : " (a \"-\" before the path makes it optional)");
		return;
	}
	if (strlen(text) != size) {
		report_error(&r->units->report, &setting->at,
			     "EnvironmentFile=: %s holds a NUL byte: expected text", path);
		return;
	}
	environment_read(&r->units->arena, text, &r->unit->final_environment, complain, &context);
}

static void resolve_environment(struct resolving *r)
{
	struct unit *unit = r->unit;

	if (!(unit->plan.flags & UNIT_INHERIT_ENVIRONMENT))
		set_named(r, "PATH", DEFAULT_PATH);
	set_user_variables(r);
	set_directory_variables(r);
	set_credentials_variable(r);
	pass_variables(r);
	for (size_t i = 0; i < unit->environment.count; i++)
		set_variable(r, unit->environment.items[i].text, &unit->environment.items[i].at);
	for (size_t i = 0; i < unit->environment_files.count; i++)
		read_environment_file(r, &unit->environment_files.items[i]);
	for (size_t i = 0; i < unit->unset_environment.count; i++)
		environment_unset(&unit->final_environment, unit->unset_environment.items[i].text);
}

/* ---------------------------------------------------------------- variables in command lines */

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

/* Where the program lies for us, who are not inside of RootDirectory=. */
static const char *outside_path(const struct resolving *r, const char *path)
{
	const char *root = r->unit->root_directory.text;

	return root ? arena_printf(&r->units->arena, "%s%s", root, path) : path;
}

static int search_path(struct resolving *r, const char *name, const char *folders,
		       const char **ret_path)
{
	int result = -ENOENT;

	while (*folders) {
		size_t length = strcspn(folders, ":");
		const char *path =
			arena_printf(&r->units->arena, "%.*s/%s", (int)length, folders, name);
		folders += length + (folders[length] == ':');
		if (*path != '/')
			continue;
		int found = source_executable(&r->units->source, outside_path(r, path));
		if (found == 0) {
			*ret_path = path;
			return 0;
		}
		if (found == -EACCES)
			result = found;
	}
	return result;
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
	const char *folders = DEFAULT_PATH;

	if (*line->path == '/')
		return source_executable(&r->units->source, outside_path(r, line->path));
	if (strchr(line->path, '/')) {
		line->path =
			arena_printf(&r->units->arena, "%s/%s", command_directory(r), line->path);
		return source_executable(&r->units->source, outside_path(r, line->path));
	}
	if (r->unit->plan.flags & UNIT_INHERIT_ENVIRONMENT) {
		const char *assignment = request_variable(r->units, "PATH", 4);
		folders = assignment ? assignment + 5 : folders;
	} else if (r->unit->plan.flags & UNIT_IS_MAIN) {
		folders = environment_get(&r->unit->final_environment, "PATH", 4);
		folders = folders ? folders : DEFAULT_PATH;
	}
	return search_path(r, line->path, folders, &line->path);
}

static const char *follow_program(void *context, const char *program)
{
	struct resolving *r = context;
	const char *path = program;
	char *resolved;

	if (*program != '/' && search_path(r, program, DEFAULT_PATH, &path) < 0)
		return NULL;
	path = outside_path(r, path);
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

static void resolve_line(struct resolving *r, struct exec_line *line)
{
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

/* ---------------------------------------------------------------- paths and sources */

static void resolve_paths(struct resolving *r)
{
	struct unit *unit = r->unit;
	const char *pid_file = unit->pid_file.text;
	const char *directory = unit->working_directory.text;

	if (pid_file && *pid_file) {
		if (str_starts(pid_file, "/var/run/"))
			pid_file += strlen("/var");
		unit->pid_file.text = *pid_file == '/'
					      ? pid_file
					      : arena_printf(&r->units->arena, "/run/%s", pid_file);
	}
	unit->working_path = directory;
	if (directory && strcmp(directory, "~") == 0) {
		unit->working_path = unit->home ? unit->home : unit->user_name ? "/" : "/root";
		unit->plan.working_directory_optional = 1;
	}
}

/* What boot would find out anyway is said with its line. */
static void check_secret(struct resolving *r, const struct secret *secret)
{
	struct report *report = &r->units->report;
	const char *rest = strchr(secret->reference, ':') + 1;
	mode_t mode;

	if (secret->flags & SECRET_OPTIONAL || secret->is_pending || report->is_offline ||
	    !r->units->request.environment)
		return;
	if (str_starts(secret->reference, "env:") &&
	    !request_variable(r->units, rest, strlen(rest)))
		report_failure(report, &secret->at, EX_NOINPUT,
			       "%s: the variable %s is not set in holdfast's environment",
			       secret->name, rest);
	if (str_starts(secret->reference, "file:")) {
		int error = source_mode(&r->units->source, rest, &mode);
		if (error < 0)
			report_failure(report, &secret->at, source_status(-error), "%s: %s: %s",
				       secret->name, rest, strerror(-error));
		else if (!S_ISREG(mode))
			report_error(report, &secret->at, "%s: %s: it is no regular file",
				     secret->name, rest);
	}
}

/* In an image's tree the value may be at hand; at boot whoever fetches it says so. */
static void check_length(struct resolving *r, const struct secret *secret)
{
	const struct report *report = &r->units->report;
	char *text;
	size_t length;

	if ((secret->flags & SECRET_IS_CONFIG) || report->is_offline ||
	    r->units->request.environment || !str_starts(secret->reference, "file:") ||
	    source_read(&r->units->source, strchr(secret->reference, ':') + 1, 2 * FINGERPRINT_MIN,
			&text, &length) < 0)
		return;
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	if (length < FINGERPRINT_MIN)
		report_warning(
			&r->units->report, &secret->at,
			"%s: its value has %zu bytes, and where a service prints it, it cannot "
			"be hidden: %d or more can be",
			secret->name, length, FINGERPRINT_MIN);
	explicit_bzero(text, length);
}

/* A secret takes the place of a variable of that name: said, as one of the two is not needed. */
static void check_collisions(struct resolving *r, const struct secret *secret)
{
	const struct settings *list = &r->unit->environment;
	size_t length = strlen(secret->name);

	if (secret->delivery == SECRET_FILE || (secret->flags & SECRET_IS_PATH))
		return;
	for (size_t i = 0; i < list->count; i++) {
		if (strncmp(list->items[i].text, secret->name, length) == 0 &&
		    list->items[i].text[length] == '=') {
			report_warning(&r->units->report, &secret->at,
				       "%s: Environment= sets it, too: the secret holds",
				       secret->name);
			return;
		}
	}
}

/* What a signal can bring to a running process is files: its environment stays as it is. */
static void check_changes(struct resolving *r)
{
	const struct secrets *list = &r->unit->secrets;

	for (size_t i = 0; i < list->count; i++)
		check_collisions(r, &list->items[i]);
	if (r->unit->plan.on_change == CHANGE_SIGNAL && !has_files(r->unit) && list->count > 0)
		report_warning(
			&r->units->report, &list->items[0].at,
			"OnChange=signal: reaches no secret of this unit, as the environment "
			"of a running process cannot change: expected SecretFile=, [X-Templates] or "
			"OnChange=restart");
}

void resolve_unit(struct units *units, struct unit *unit)
{
	struct resolving r = {units, unit};

	if (unit->name.kind == UNIT_SOCKET)
		resolve_socket_ids(&r);
	if (unit->name.kind != UNIT_SERVICE)
		return;
	resolve_dynamic_user(&r);
	resolve_user(&r);
	resolve_groups(&r);
	resolve_environment(&r);
	resolve_paths(&r);
	for (size_t i = 0; i < unit->secrets.count; i++)
		check_secret(&r, &unit->secrets.items[i]);
	for (size_t i = 0; i < unit->secrets.count; i++)
		check_length(&r, &unit->secrets.items[i]);
	check_changes(&r);
	templates_check(units, unit);
	for (int phase = 0; phase < EXEC_PHASE_COUNT; phase++)
		resolve_lines(&r, &unit->exec[phase]);
	for (int kind = 0; kind < PROBE_KIND_COUNT; kind++)
		resolve_lines(&r, &unit->probes[kind].exec);
}
