#include "units/spread.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/path.h"
#include "units/search.h"

void spread_add_rule(struct spreading *s, const char *path, uint32_t rights)
{
	struct rules *rules = &s->unit->rules;

	for (size_t i = 0; i < rules->count; i++) {
		if (strcmp(rules->items[i].path, path) != 0)
			continue;
		rules->items[i].rights |= rights;
		return;
	}
	if (rules->count < RULES_MAX)
		*LIST_ADD(&s->units->arena, rules) = (struct rule){path, rights};
}

/* What exists of the path with its links followed; the rest as it is. */
static const char *resolve(struct spreading *s, const char *path)
{
	struct arena *arena = &s->units->arena;
	char *resolved;

	if (strcmp(path, "/") == 0)
		return path;
	for (const char *end = path + strlen(path); end > path;) {
		const char *head = arena_copy(arena, path, (size_t)(end - path));
		if (source_resolve(&s->units->source, head, &resolved) == 0) {
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

static bool is_in_scratch(const struct scratches *list, const char *path)
{
	for (size_t i = 0; i < list->count; i++) {
		if (path_is_within(path, list->items[i].path))
			return true;
	}
	return false;
}

/* Not the image's alone: something new may come to lie there while the instance runs. */
static bool is_changeable(const struct spreading *s, const char *path)
{
	static const char *const always[] = {"/run", "/tmp", "/var/tmp", "/dev", "/proc", "/sys"};

	for (size_t i = 0; i < ARRAY_COUNT(always); i++) {
		if (path_is_within(path, always[i]))
			return true;
	}
	for (int type = 0; type < DIRECTORY_TYPE_COUNT; type++) {
		const struct settings *list = &s->unit->directories[type];
		for (size_t i = 0; i < list->count; i++) {
			if (path_is_within(path, list->items[i].text))
				return true;
		}
	}
	return is_in_scratch(&s->units->conf.scratch, path) ||
	       is_in_scratch(&s->unit->scratch, path);
}

static const char *const key_names[PATH_KEY_COUNT] = {
	[PATHS_EXEC] = "ExecPaths",
	[PATHS_NO_EXEC] = "NoExecPaths",
	[PATHS_READ_WRITE] = "ReadWritePaths",
	[PATHS_READ_ONLY] = "ReadOnlyPaths",
	[PATHS_INACCESSIBLE] = "InaccessiblePaths",
};

static const char *resolve_allowed(struct spreading *s, const struct allowed_path *from)
{
	return resolve(s, from->is_inside ? search_outside(s->units, s->unit, from->path)
					  : from->path);
}

static void add_limits(struct spreading *s, enum path_key key)
{
	const struct allowed_paths *list = &s->unit->paths[key];

	for (size_t i = 0; i < list->count; i++)
		*LIST_ADD(&s->units->arena, &s->limits) = (struct path_limit){
			.path = resolve_allowed(s, &list->items[i]),
			.is_allowed = key == PATHS_EXEC || key == PATHS_READ_WRITE,
			.from = &list->items[i],
		};
}

void spread_set_limits(struct spreading *s, uint32_t keys)
{
	s->limits.count = 0;
	for (int key = 0; key < PATH_KEY_COUNT; key++) {
		if (keys & SPREAD_KEY(key))
			add_limits(s, (enum path_key)key);
	}
}

void spread_say_missing(struct spreading *s, enum path_key key)
{
	const struct allowed_paths *list = &s->unit->paths[key];
	mode_t mode;

	for (size_t i = 0; i < list->count; i++) {
		const struct allowed_path *from = &list->items[i];
		const char *path = resolve_allowed(s, from);
		if (!from->is_optional && !is_changeable(s, path) &&
		    source_mode(&s->units->source, path, &mode) == -ENOENT)
			report_warning(&s->units->report, &from->at,
				       "%s=: %s does not exist, so it says nothing: expected a "
				       "path of the image, or \"-\" before it",
				       key_names[key], from->path);
	}
}

/* Of two limits on one path the one that takes away counts. */
static bool is_allowed_at(const struct spreading *s, const char *path, bool inherited)
{
	bool result = inherited;

	for (size_t i = 0; i < s->limits.count; i++) {
		if (strcmp(s->limits.items[i].path, path) != 0)
			continue;
		if (!s->limits.items[i].is_allowed)
			return false;
		result = true;
	}
	return result;
}

/* A limit that takes away strictly below path, or NULL. */
static const struct path_limit *find_below(const struct spreading *s, const char *path)
{
	for (size_t i = 0; i < s->limits.count; i++) {
		if (!s->limits.items[i].is_allowed && path_is_below(s->limits.items[i].path, path))
			return &s->limits.items[i];
	}
	return NULL;
}

/* Whether the nearest limit above the one at path is at above, or there is none in between. */
static bool is_next_below(const struct spreading *s, const char *path, const char *above)
{
	for (size_t i = 0; i < s->limits.count; i++) {
		const char *between = s->limits.items[i].path;
		if (path_is_below(between, above) && path_is_below(path, between))
			return false;
	}
	return true;
}

/* The names in the directory, which must lie on the image. 0 or -errno. */
static int list_directory(struct spreading *s, const char *path, struct listing *ret_listing)
{
	struct stat st;

	if (is_changeable(s, path))
		return -EXDEV;
	CLEANUP(fd_closep)
	int fd = source_open(&s->units->source, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || (s->device != 0 && st.st_dev != s->device))
		return -EXDEV;
	return listing_read(ret_listing, fd);
}

static struct strings list_names(struct spreading *s, const char *path, int *ret_error)
{
	struct listing *listing = &s->units->listing;
	struct strings names = {0};
	enum listing_kind kind;
	size_t at = 0;
	const char *name;

	*ret_error = list_directory(s, path, listing);
	while (*ret_error == 0 && (name = listing_next(listing, &at, &kind))) {
		if (kind != LISTING_OTHER)
			strings_add(&s->units->arena, &names, arena_string(&s->units->arena, name));
	}
	listing_finish(listing);
	return names;
}

static void walk(struct spreading *s, const char *path, bool is_allowed);

/* Everything in the directory but what the limits take away. */
static void walk_beside(struct spreading *s, const char *path)
{
	const struct path_limit *limit = find_below(s, path);
	bool is_root = strcmp(path, "/") == 0;
	int error;
	struct strings names = list_names(s, path, &error);

	if (error < 0) {
		if (error != -ENOENT)
			report_warning(&s->units->report, &limit->from->at,
				       "%s cannot be taken away from what lies beside it: new "
				       "files may come to lie in %s, and Landlock only adds "
				       "rights; it has no effect",
				       limit->path, path);
		spread_add_rule(s, path, s->rights);
		return;
	}
	for (size_t i = 0; i < names.count; i++)
		walk(s,
		     arena_printf(&s->units->arena, "%s/%s", is_root ? "" : path, names.items[i]),
		     true);
}

/* Rules for what lies at and below path, of which the limit above it says is_allowed. */
static void walk(struct spreading *s, const char *path, bool is_allowed)
{
	is_allowed = is_allowed_at(s, path, is_allowed);
	if (is_allowed) {
		if (find_below(s, path))
			walk_beside(s, path);
		else
			spread_add_rule(s, path, s->rights);
		return;
	}
	for (size_t i = 0; i < s->limits.count; i++) {
		const struct path_limit *limit = &s->limits.items[i];
		if (limit->is_allowed && path_is_below(limit->path, path) &&
		    is_next_below(s, limit->path, path))
			walk(s, limit->path, true);
	}
}

void spread_rights(struct spreading *s, const char *path, uint32_t rights, bool is_allowed)
{
	s->rights = rights;
	walk(s, path, is_allowed);
}
