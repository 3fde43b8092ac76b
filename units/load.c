#include "units/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/lex.h"
#include "units/schema.h"

#define ALIASES_MAX 8 /* links from name to name */

bool load_is_standard_target(const char *name)
{
	static const char *const names[] = {
		"basic.target",
		"cryptsetup.target",
		"cryptsetup-pre.target",
		"default.target",
		"first-boot-complete.target",
		"graphical.target",
		"integritysetup.target",
		"local-fs.target",
		"local-fs-pre.target",
		"machines.target",
		"multi-user.target",
		"network.target",
		"network-online.target",
		"network-pre.target",
		"nss-lookup.target",
		"nss-user-lookup.target",
		"paths.target",
		"remote-cryptsetup.target",
		"remote-fs.target",
		"remote-fs-pre.target",
		"rpcbind.target",
		"slices.target",
		"sockets.target",
		"swap.target",
		"sysinit.target",
		"system-update-pre.target",
		"time-set.target",
		"time-sync.target",
		"timers.target",
		"veritysetup.target",
		"veritysetup-pre.target",
	};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

bool load_is_final_target(const char *name)
{
	static const char *const names[] = {
		"shutdown.target",
		"umount.target",
		"final.target",
		"reboot.target",
		"poweroff.target",
		"halt.target",
		"kexec.target",
		"exit.target",
		"emergency.target",
		"rescue.target",
		"sleep.target",
		"suspend.target",
		"hibernate.target",
		"soft-reboot.target",
		"hybrid-sleep.target",
		"ctrl-alt-del.target",
		"system-update.target",
		"initrd-switch-root.target",
		"suspend-then-hibernate.target",
		"factory-reset.target",
	};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/* Folders that are not there are left out once, and not asked again for every name. */
static bool add_folder(struct units *units, const char *path)
{
	mode_t mode = 0;

	if (source_mode(&units->source, path, &mode) < 0 || !S_ISDIR(mode))
		return false;
	struct folder *added = LIST_ADD(&units->arena, &units->search_path);
	added->path = path;
	added->is_listed = source_list(&units->source, path, &added->names, &added->links) == 0;
	return true;
}

static int compare_name(const void *key, const void *item)
{
	return strcmp(key, *(const char *const *)item);
}

static bool has_name(const struct strings *names, const char *name)
{
	return names->count > 0 &&
	       bsearch(name, names->items, names->count, sizeof(*names->items), compare_name);
}

/* Where the name would lie in the folder, or NULL when it is known not to. */
static const char *path_in(struct units *units, const struct folder *folder, const char *name,
			   const char *suffix)
{
	char full[UNIT_NAME_MAX + 16];
	struct strbuf buf;

	strbuf_init(&buf, full, sizeof(full));
	strbuf_addf(&buf, "%s%s", name, suffix);
	if (folder->is_listed && (buf.is_cut || !has_name(&folder->names, full)))
		return NULL;
	return arena_printf(&units->arena, "%s/%s%s", folder->path, name, suffix);
}

static void add_asked_folders(struct units *units)
{
	const struct settings *list = &units->conf.unit_path;
	const char *folder = units->request.units_dir;
	struct where at = {.file = "--units"};

	if (folder && !add_folder(units, folder))
		report_failure(&units->report, &at, EX_NOINPUT, "%s: no such folder", folder);
	for (size_t i = 0; i < list->count; i++) {
		if (!add_folder(units, list->items[i].text))
			report_warning(&units->report, &list->items[i].at,
				       "UnitPath=: %s: no such folder", list->items[i].text);
	}
}

static const char *const system_folders[] = {"/etc/systemd/system", "/usr/local/lib/systemd/system",
					     "/usr/lib/systemd/system", "/lib/systemd/system"};

bool load_is_distributions(const char *file)
{
	for (size_t i = 0; i < ARRAY_COUNT(system_folders); i++) {
		size_t length = strlen(system_folders[i]);
		if (strncmp(file, system_folders[i], length) == 0 && file[length] == '/')
			return true;
	}
	return false;
}

void load_set_search_path(struct units *units)
{
	static const char *const own[] = {"/etc/holdfast/units", "/usr/lib/holdfast/units"};
	const char *const *names = units->request.units;

	for (; names && *names; names++) {
		const char *slash = strrchr(*names, '/');
		if (slash)
			(void)add_folder(
				units, arena_copy(&units->arena, *names, (size_t)(slash - *names)));
	}
	add_asked_folders(units);
	for (size_t i = 0; i < ARRAY_COUNT(own); i++)
		(void)add_folder(units, own[i]);
	units->n_own_folders = units->search_path.count;
	for (size_t i = 0; i < ARRAY_COUNT(system_folders); i++)
		(void)add_folder(units, system_folders[i]);
}

/* ---------------------------------------------------------------- where a unit's file is */

struct location {
	const char *path;  /* NULL: none */
	const char *alias; /* the name that it is really */
	bool is_masked;
};

/* What stands at path. False: nothing. */
static bool look_at(struct units *units, const char *path, const char *name,
		    struct location *ret_location)
{
	char *target;
	int r = source_link(&units->source, path, &target);

	if (r < 0 && r != -EINVAL)
		return false;
	*ret_location = (struct location){.path = path};
	if (r == -EINVAL)
		return true;
	const char *base = str_base_name(target);
	if (strcmp(target, "/dev/null") == 0)
		ret_location->is_masked = true;
	else if (strcmp(base, name) != 0 && name_parse(&units->arena, base).class == NAME_SUPPORTED)
		ret_location->alias = base;
	return true;
}

static bool locate_name(struct units *units, const char *name, size_t n_folders,
			struct location *ret_location)
{
	for (size_t i = 0; i < n_folders; i++) {
		const struct folder *folder = &units->search_path.items[i];
		const char *path = path_in(units, folder, name, "");
		if (!path)
			continue;
		*ret_location = (struct location){.path = path};
		bool is_plain = folder->is_listed && !has_name(&folder->links, name);
		if (is_plain || look_at(units, path, name, ret_location))
			return true;
		*ret_location = (struct location){0};
	}
	return false;
}

/* The instance's own file, else its template's; an alias of a template is one of its instances. */
static struct location locate(struct units *units, const struct unit_name *name, size_t n_folders)
{
	struct location location = {0};

	bool is_found = locate_name(units, name->full, n_folders, &location);
	if (!is_found && name->instance && *name->instance)
		is_found = locate_name(units, name_template(&units->arena, name), n_folders,
				       &location);
	if (!is_found || !location.alias)
		return location;
	struct unit_name alias = name_parse(&units->arena, location.alias);
	if (alias.instance && !*alias.instance && name->instance && *name->instance)
		location.alias = name_instance(&units->arena, &alias, name->instance);
	if (strcmp(location.alias, name->full) == 0)
		location.alias = NULL;
	return location;
}

/* The name behind all aliases, and where its file is if that came out by the way. */
static const char *canonical_name(struct units *units, const char *text, const char **ret_file)
{
	*ret_file = "";
	for (int i = 0; i < ALIASES_MAX; i++) {
		struct unit_name name = name_parse(&units->arena, text);
		if (name.class != NAME_SUPPORTED || load_is_standard_target(text))
			break;
		struct location location = locate(units, &name, units->search_path.count);
		if (!location.alias) {
			if (location.path && !location.is_masked)
				*ret_file = location.path;
			break;
		}
		text = location.alias;
	}
	return text;
}

/* ---------------------------------------------------------------- the table of units */

/* Where the unit stands among the buckets, or the empty one where it would. FNV-1a. */
static struct unit **find_bucket(struct units *units, const char *name)
{
	uint32_t hash = 2166136261U;

	for (const char *c = name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 16777619U;
	if (!units->buckets)
		units->buckets =
			arena_alloc(&units->arena, UNITS_BUCKETS * sizeof(*units->buckets));
	for (uint32_t i = hash % UNITS_BUCKETS;; i = (i + 1) % UNITS_BUCKETS) {
		if (!units->buckets[i] || strcmp(units->buckets[i]->name.full, name) == 0)
			return &units->buckets[i];
	}
}

struct unit *load_find_exact(struct units *units, const char *name)
{
	return *find_bucket(units, name);
}

struct unit *load_find(struct units *units, const char *name)
{
	struct unit *unit = load_find_exact(units, name);

	if (unit || units->source.root_fd < 0)
		return unit;
	const char *file;
	const char *canonical = canonical_name(units, name, &file);
	return canonical == name ? NULL : load_find_exact(units, canonical);
}

struct unit *load_create(struct units *units, const char *name, const struct where *at)
{
	struct arena *arena = &units->arena;

	if (units->count == PLAN_UNITS_MAX) {
		report_error(&units->report, at, "%s: more than %d units", name, PLAN_UNITS_MAX);
		return NULL;
	}
	struct unit *unit = arena_alloc(arena, sizeof(*unit));
	unit->name = name_parse(arena, name);
	unit->at = *at;
	unit->file = "";
	schema_init_unit(unit);
	unit->is_foreign = unit->name.class == NAME_FOREIGN;
	units->items = arena_grow(arena, units->items, units->count, &units->capacity,
				  sizeof(struct unit *));
	units->items[units->count++] = unit;
	*find_bucket(units, name) = unit;
	return unit;
}

void load_rename(struct units *units, struct unit *unit, const char *name)
{
	unit->name = name_parse(&units->arena, name);
	*find_bucket(units, name) = unit;
}

static bool is_requestable(struct units *units, const struct unit_name *name,
			   const struct where *at)
{
	bool is_template = name->instance && !*name->instance;

	if (name->class != NAME_INVALID && !is_template)
		return true;
	report_error(&units->report, at,
		     is_template ? "\"%s\": expected an instance between @ and the dot"
				 : "\"%s\": expected the name of a unit, such as x.service",
		     name->full);
	return false;
}

struct unit *load_request(struct units *units, const char *name, const struct where *at)
{
	struct unit_name parsed = name_parse(&units->arena, name);

	if (!is_requestable(units, &parsed, at))
		return NULL;
	struct unit *unit = load_find_exact(units, name);
	if (unit)
		return unit;
	const char *file;
	name = canonical_name(units, name, &file);
	unit = load_find_exact(units, name);
	if (unit)
		return unit;
	unit = load_create(units, name, at);
	if (unit)
		unit->file = file;
	return unit;
}

struct unit *load_request_file(struct units *units, const char *path, const struct where *at)
{
	const char *name = str_base_name(path);
	struct unit_name parsed = name_parse(&units->arena, name);

	/* A template is checked as the instance that its name suggests. */
	if (parsed.instance && !*parsed.instance)
		parsed = name_parse(&units->arena,
				    name_instance(&units->arena, &parsed, "instance"));
	if (!is_requestable(units, &parsed, at))
		return NULL;
	struct unit *unit = load_find_exact(units, parsed.full);
	if (!unit)
		unit = load_create(units, parsed.full, at);
	if (unit)
		unit->file = path;
	return unit;
}

/* ---------------------------------------------------------------- reading */

static void read_text(struct units *units, struct unit *unit, const char *path, const char *text,
		      size_t size)
{
	const char *section = NULL;
	bool is_known = false;
	struct lexer lexer;
	struct lex_item item;

	lex_init(&lexer, &units->arena, path, text, size);
	for (;;) {
		lex_next(&lexer, &item);
		switch (item.kind) {
		case LEX_END: return;
		case LEX_ERROR: report_error(&units->report, &item.at, "%s", item.message); break;
		case LEX_SECTION:
			section = item.key;
			is_known = schema_enter(units, unit, &item);
			break;
		case LEX_ASSIGNMENT:
			if (!section)
				report_error(&units->report, &item.at,
					     "%s= outside of a section: expected [Section] first",
					     item.key);
			else if (is_known)
				schema_apply(units, unit, section, &item);
			break;
		}
	}
}

static bool read_file(struct units *units, struct unit *unit, const char *path, size_t *ret_size)
{
	struct where at = {.file = path};
	char *text;
	size_t size = 0;
	int r = source_read(&units->source, path, LEX_FILE_MAX, &text, &size);

	if (r == -EFBIG)
		report_error(&units->report, &at, "the file is too big: expected at most %u bytes",
			     LEX_FILE_MAX);
	else if (r < 0)
		report_failure(&units->report, &at, source_status(-r), "cannot be read: %s",
			       source_strerror(-r));
	else
		read_text(units, unit, path, text, size);
	*ret_size = size;
	return r == 0;
}

/* Drop-ins: the first folder that has a name decides on it; then all by name. */
struct dropins {
	const char *names[UNIT_DROPINS_MAX], *paths[UNIT_DROPINS_MAX];
	size_t count;
};

static void add_dropin(struct units *units, struct dropins *dropins, const char *folder,
		       const char *name)
{
	size_t at = 0;

	if (!str_ends(name, ".conf"))
		return;
	while (at < dropins->count && strcmp(dropins->names[at], name) < 0)
		at++;
	if (at < dropins->count && strcmp(dropins->names[at], name) == 0)
		return;
	const char *path = arena_printf(&units->arena, "%s/%s", folder, name);
	if (dropins->count == UNIT_DROPINS_MAX) {
		struct where where = {.file = path};
		report_error(&units->report, &where, "more than %d drop-ins", UNIT_DROPINS_MAX);
		return;
	}
	for (size_t i = dropins->count++; i > at; i--) {
		dropins->names[i] = dropins->names[i - 1];
		dropins->paths[i] = dropins->paths[i - 1];
	}
	dropins->names[at] = name;
	dropins->paths[at] = path;
}

static void find_dropins(struct units *units, const char *name, struct dropins *dropins)
{
	for (size_t i = 0; i < units->search_path.count; i++) {
		const char *folder = path_in(units, &units->search_path.items[i], name, ".d");
		struct strings names;
		if (!folder || source_list(&units->source, folder, &names, NULL) < 0)
			continue;
		for (size_t j = 0; j < names.count; j++)
			add_dropin(units, dropins, folder, names.items[j]);
	}
}

/* From the unit's own name to the type's: a@b.service.d, a@.service.d, then for x-y.service
 * x-.service.d, then service.d. */
static void read_dropins(struct units *units, struct unit *unit)
{
	struct arena *arena = &units->arena;
	struct dropins dropins = {.count = 0};
	const struct unit_name *name = &unit->name;
	char *prefix = arena_string(arena, name->prefix);

	find_dropins(units, name->full, &dropins);
	if (name->instance && *name->instance)
		find_dropins(units, name_template(arena, name), &dropins);
	for (size_t i = strlen(prefix); i-- > 1;) {
		if (prefix[i - 1] != '-')
			continue;
		prefix[i] = '\0';
		find_dropins(units, arena_printf(arena, "%s.%s", prefix, name->suffix), &dropins);
	}
	find_dropins(units, name->suffix, &dropins);
	for (size_t i = 0; i < dropins.count; i++) {
		size_t size;
		char *target;
		if (source_link(&units->source, dropins.paths[i], &target) == 0 &&
		    strcmp(target, "/dev/null") == 0)
			continue;
		(void)read_file(units, unit, dropins.paths[i], &size);
	}
}

/* x.service.wants/ and x.service.requires/: what [Install] became when the image was built. */
static void read_links(struct units *units, struct unit *unit, const char *suffix,
		       enum unit_relation type, size_t n_folders)
{
	struct arena *arena = &units->arena;
	struct strings names;

	for (size_t i = 0; i < n_folders; i++) {
		const char *folder =
			path_in(units, &units->search_path.items[i], unit->name.full, suffix);
		if (!folder || source_list(&units->source, folder, &names, NULL) < 0)
			continue;
		for (size_t j = 0; j < names.count; j++) {
			struct unit_name name = name_parse(arena, names.items[j]);
			if (name.class == NAME_INVALID || unit->relations.count == UNIT_LINES_MAX)
				continue;
			*LIST_ADD(arena, &unit->relations) = (struct relation){
				.type = type,
				.name = names.items[j],
				.at = {.file = arena_printf(arena, "%s/%s", folder, name.full)},
			};
		}
	}
}

void load_read(struct units *units, struct unit *unit)
{
	bool is_standard = load_is_standard_target(unit->name.full);
	size_t n_folders = is_standard ? units->n_own_folders : units->search_path.count;
	struct location location = {.path = *unit->file ? unit->file : NULL};
	size_t size = 1;

	if (unit->is_foreign || unit->plan.flags & UNIT_IS_MAIN)
		return;
	if (!location.path)
		location = locate(units, &unit->name, n_folders);
	unit->is_masked = location.is_masked;
	unit->is_builtin = !location.path && is_standard;
	unit->is_missing = !location.path && !is_standard;
	if (unit->is_masked || unit->is_missing)
		return;
	if (location.path) {
		unit->file = location.path;
		unit->is_distributions = load_is_distributions(location.path);
		unit->is_missing = !read_file(units, unit, location.path, &size);
		/* An empty file masks as well as a link to /dev/null does. */
		unit->is_masked = !unit->is_missing && size == 0;
		read_dropins(units, unit);
	}
	read_links(units, unit, ".wants", REL_WANTS, n_folders);
	read_links(units, unit, ".requires", REL_REQUIRES, n_folders);
}

/* ---------------------------------------------------------------- what pulls in what */

static bool is_pulling(const struct relation *relation)
{
	switch (relation->type) {
	case REL_REQUIRES:
	case REL_REQUISITE:
	case REL_WANTS:
	case REL_BINDS_TO:
	case REL_ON_FAILURE:
	case REL_ON_SUCCESS:
	case REL_TRIGGERS: return true;
	case REL_BEFORE:
	case REL_AFTER: return load_is_standard_target(relation->name);
	default: return false;
	}
}

static void imply(struct units *units, struct unit *unit, enum unit_relation type, const char *name,
		  struct where at)
{
	*LIST_ADD(&units->arena, &unit->relations) =
		(struct relation){.type = type, .name = name, .at = at, .is_implied = true};
}

/* A socket and its service; Sockets= of a service. */
static void imply_triggers(struct units *units, struct unit *unit)
{
	if (unit->name.kind == UNIT_SOCKET && !unit->is_missing && !unit->is_masked) {
		struct setting *service = &unit->socket_service;
		const char *name = service->text;
		if (!name) {
			size_t length = strlen(unit->name.full) - strlen("socket");
			name = arena_printf(&units->arena, "%.*sservice", (int)length,
					    unit->name.full);
		}
		struct where at = service->text ? service->at : (struct where){.file = unit->file};
		imply(units, unit, REL_TRIGGERS, name, at);
		imply(units, unit, REL_BEFORE, name, at);
	}
	for (size_t i = 0; i < unit->sockets.count; i++) {
		struct setting *socket = &unit->sockets.items[i];
		imply(units, unit, REL_WANTS, socket->text, socket->at);
		imply(units, unit, REL_AFTER, socket->text, socket->at);
	}
}

void load_all(struct units *units)
{
	/* The table grows while we walk it. */
	for (size_t i = 0; i < units->count; i++) {
		struct unit *unit = units->items[i];
		load_read(units, unit);
		imply_triggers(units, unit);
		for (size_t j = 0; j < unit->relations.count; j++) {
			const struct relation *relation = &unit->relations.items[j];
			if (is_pulling(relation) && !load_is_final_target(relation->name))
				(void)load_request(units, relation->name, &relation->at);
		}
	}
}
