#include "units/users.h"

#include <string.h>

#include "lib/str.h"

#define FIELDS_MAX 7

static void read_files(struct units *units)
{
	struct users *users = &units->users;
	char *text;
	size_t size;

	if (users->is_read)
		return;
	users->is_read = true;
	users->passwd = "";
	users->group = "";
	if (source_read(&units->source, "/etc/passwd", SOURCE_FILE_MAX, &text, &size) == 0)
		users->passwd = text;
	if (source_read(&units->source, "/etc/group", SOURCE_FILE_MAX, &text, &size) == 0)
		users->group = text;
}

/* The next line's fields, split at colons, until the one after is asked for. False at the end; lines
 * with fewer fields are passed over. */
static bool next_entry(struct units *units, const char **at, size_t n_fields,
		       char *fields[FIELDS_MAX])
{
	struct users *users = &units->users;

	while (**at) {
		size_t length = strcspn(*at, "\n"), n = 0;
		while (length >= users->capacity)
			users->line = arena_grow(&units->arena, users->line, users->capacity,
						 &users->capacity, 1);
		char *line = users->line;
		memcpy(line, *at, length);
		line[length] = '\0';
		*at += length + ((*at)[length] == '\n');
		while (line && n < n_fields)
			fields[n++] = strsep(&line, ":");
		if (n == n_fields && *fields[0] != '#')
			return true;
	}
	return false;
}

static bool parse_id(const char *text, uint32_t *ret_id)
{
	uint64_t number;

	if (str_parse_u64(text, UINT32_MAX - 1, &number) < 0)
		return false;
	*ret_id = (uint32_t)number;
	return true;
}

bool users_find(struct units *units, const char *text, struct user *ret_user)
{
	const char *at;
	char *fields[FIELDS_MAX];
	uint32_t number = PLAN_NO_ID;
	bool is_number = parse_id(text, &number);

	read_files(units);
	at = units->users.passwd;
	while (next_entry(units, &at, 7, fields)) {
		struct user user;
		if (!parse_id(fields[2], &user.uid) || !parse_id(fields[3], &user.gid))
			continue;
		if (is_number ? user.uid != number : strcmp(fields[0], text) != 0)
			continue;
		user.name = arena_string(&units->arena, fields[0]);
		user.home = arena_string(&units->arena, fields[5]);
		user.shell = arena_string(&units->arena, fields[6]);
		*ret_user = user;
		return true;
	}
	if (!is_number && strcmp(text, "root") != 0)
		return false;
	/* Nobody can run without root, and an image of one program need not list it. */
	if (!is_number)
		number = 0;
	*ret_user = (struct user){.name = number ? "" : "root",
				  .home = number ? "" : "/root",
				  .shell = "",
				  .uid = number,
				  .gid = number};
	return true;
}

bool users_find_group(struct units *units, const char *text, uint32_t *ret_gid)
{
	const char *at;
	char *fields[FIELDS_MAX];

	if (parse_id(text, ret_gid))
		return true;
	read_files(units);
	at = units->users.group;
	while (next_entry(units, &at, 3, fields)) {
		if (strcmp(fields[0], text) == 0 && parse_id(fields[2], ret_gid))
			return true;
	}
	*ret_gid = 0;
	return strcmp(text, "root") == 0;
}

void users_groups_of(struct units *units, const char *name,
		     void (*add)(void *context, uint32_t gid), void *context)
{
	const char *at;
	char *fields[FIELDS_MAX];
	uint32_t gid;

	read_files(units);
	at = units->users.group;
	while (next_entry(units, &at, 4, fields)) {
		char *members = fields[3], *member;
		if (!parse_id(fields[2], &gid))
			continue;
		while ((member = strsep(&members, ","))) {
			if (strcmp(member, name) == 0)
				add(context, gid);
		}
	}
}
