/*
 * Packages expect that somebody makes /run/haproxy before haproxy runs. Under systemd that is
 * systemd-tmpfiles, by lines such as
 *
 *	d /run/haproxy 2775 haproxy haproxy - -
 *
 * Of its language this takes what makes a folder (d, D, v, q, Q, with any modifier), and of the
 * paths those that holdfast's boot can make: the root is read-only and was made with its folders.
 * The rest, and what belongs to systemd's own parts (/run/systemd), is passed over: nobody asked
 * for those files, they come with the packages, so there is nothing to complain about.
 */
#include "units/tmpfiles.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/path.h"
#include "lib/str.h"
#include "units/lex.h"
#include "units/users.h"
#include "units/values.h"
#include "units/words.h"

#define FIELDS	    5 /* type, path, mode, user, group; age and argument mean nothing for a folder */
#define FOLDERS_MAX 1024

static const char *const search_path[] = {"/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d",
					  "/usr/lib/tmpfiles.d"};

static bool is_ours(const struct units *units, const char *path)
{
	const struct scratches *scratch = &units->conf.scratch;

	if (strchr(path, '%') || strstr(path, "/../") || str_ends(path, "/..") ||
	    path_is_below(path, "/run/systemd") || path_is_below(path, "/run/holdfast"))
		return false;
	if (path_is_below(path, "/run"))
		return true;
	for (size_t i = 0; i < scratch->count; i++) {
		if (path_is_below(path, scratch->items[i].path))
			return true;
	}
	return false;
}

/* /var/run is /run on every distribution. Slashes at the end say nothing. */
static const char *normalize(struct arena *arena, const char *path)
{
	size_t length;

	if (str_starts(path, "/var/run/"))
		path += strlen("/var");
	for (length = strlen(path); length > 1 && path[length - 1] == '/';)
		length--;
	return arena_copy(arena, path, length);
}

static bool is_dash(const char *field)
{
	return strcmp(field, "-") == 0;
}

/* The mode may say that it is a mask (~), both may say that they are for what is new (:). */
static bool read_rights(struct units *units, char *const fields[FIELDS],
			struct units_folder *folder)
{
	struct user user;
	const char *mode = fields[2], *owner = fields[3], *group = fields[4];

	if (mode && !is_dash(mode) && value_mode(mode + strspn(mode, "~:"), &folder->mode) < 0)
		return false;
	if (owner && !is_dash(owner)) {
		if (!users_find(units, owner + strspn(owner, ":"), &user))
			return false;
		folder->uid = user.uid;
	}
	return !group || is_dash(group) ||
	       users_find_group(units, group + strspn(group, ":"), &folder->gid);
}

static void add_folder(struct units *units, const struct where *at, char *const fields[FIELDS])
{
	struct units_folder folder = {.path = normalize(&units->arena, fields[1]), .mode = 0755};

	if (!is_ours(units, folder.path))
		return;
	if (!read_rights(units, fields, &folder)) {
		report_warning(
			&units->report, at,
			"%s is not made: expected \"TYPE PATH MODE USER GROUP\" with an octal "
			"mode, and a user and a group that exist",
			folder.path);
		return;
	}
	if (units->folders.count == FOLDERS_MAX) {
		report_error(&units->report, at, "more than %d folders in tmpfiles.d", FOLDERS_MAX);
		return;
	}
	*LIST_ADD(&units->arena, &units->folders) = folder;
}

static void read_line(struct units *units, const struct where *at, char *line)
{
	char *fields[FIELDS] = {0};
	const char *rest = line;

	line += strspn(line, " \t");
	if (!*line || *line == '#' || !strchr("dDvqQ", *line))
		return;
	for (size_t i = 0; i < FIELDS; i++) {
		if (words_next(&units->arena, &rest, WORDS_UNQUOTE | WORDS_RELAX, &fields[i]) !=
		    WORDS_FOUND)
			fields[i] = NULL;
		if (!fields[i])
			break;
	}
	if (fields[1])
		add_folder(units, at, fields);
}

static void read_file(struct units *units, const char *path)
{
	struct where at = {.file = path};
	char *text, *save = NULL;
	size_t size;

	int r = source_read(&units->source, path, LEX_FILE_MAX, &text, &size);
	if (r < 0) {
		report_warning(&units->report, &at, "cannot be read: %s", strerror(-r));
		return;
	}
	for (char *line = text; line; line = save) {
		save = strchr(line, '\n');
		if (save)
			*save++ = '\0';
		at.line++;
		read_line(units, &at, line);
	}
}

static bool is_masked(struct units *units, const char *path)
{
	char *target;

	return source_link(&units->source, path, &target) == 0 && strcmp(target, "/dev/null") == 0;
}

/* Whether a folder of the search path that comes before this one has a file of that name. */
static bool is_overridden(struct units *units, size_t folder, const char *name)
{
	mode_t mode;

	for (size_t i = 0; i < folder; i++) {
		const char *path = arena_printf(&units->arena, "%s/%s", search_path[i], name);
		if (is_masked(units, path) || source_mode(&units->source, path, &mode) == 0)
			return true;
	}
	return false;
}

void tmpfiles_load(struct units *units)
{
	struct strings names;

	if (units->source.root_fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_COUNT(search_path); i++) {
		if (source_list(&units->source, search_path[i], &names, NULL) < 0)
			continue;
		for (size_t j = 0; j < names.count; j++) {
			const char *path = arena_printf(&units->arena, "%s/%s", search_path[i],
							names.items[j]);
			if (str_ends(path, ".conf") && !is_masked(units, path) &&
			    !is_overridden(units, i, names.items[j]))
				read_file(units, path);
		}
	}
}
