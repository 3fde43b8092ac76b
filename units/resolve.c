#include "units/resolve.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/condition.h"
#include "units/environment.h"
#include "units/resolving.h"
#include "units/search.h"
#include "units/templates.h"
#include "units/users.h"
#include "units/values.h"

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

static void set_credentials_variable(struct resolving *r)
{
	static const char placeholder[] = {UNIT_BYTE_CREDENTIALS, '\0'};

	if (resolving_has_files(r->unit))
		set_named(r, "CREDENTIALS_DIRECTORY", placeholder);
}

static void pass_variables(struct resolving *r)
{
	const struct settings *list = &r->unit->pass_environment;

	for (size_t i = 0; i < list->count; i++) {
		const char *name = list->items[i].text;
		const char *assignment = resolving_variable(r->units, name, strlen(name));
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
		set_named(r, "PATH", SEARCH_DEFAULT_PATH);
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

/* ---------------------------------------------------------------- paths */

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

static void resolve_service(struct resolving *r)
{
	resolve_dynamic_user(r);
	resolve_user(r);
	resolve_groups(r);
	resolve_environment(r);
	resolve_paths(r);
	resolve_secrets(r);
	templates_check(r->units, r->unit);
	resolve_commands(r);
}

void resolve_unit(struct units *units, struct unit *unit)
{
	struct resolving r = {units, unit};

	/* Offline it is another machine's conditions that count. */
	units->report.is_skipped =
		units->request.environment && condition_cannot_hold(&unit->conditions);
	if (units->report.is_skipped)
		unit->plan.flags |= UNIT_IS_SKIPPED;
	if (unit->name.kind == UNIT_SOCKET)
		resolve_socket_ids(&r);
	if (unit->name.kind == UNIT_SERVICE)
		resolve_service(&r);
	units->report.is_skipped = false;
}
