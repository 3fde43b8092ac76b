#include "lib/condition.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/str.h"

static bool path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool path_has_type(const char *path, mode_t type, int flags)
{
	struct stat st;

	return fstatat(AT_FDCWD, path, &st, flags) == 0 && (st.st_mode & S_IFMT) == type;
}

static bool path_is_directory(const char *path)
{
	return path_has_type(path, S_IFDIR, 0);
}

static bool path_is_symbolic_link(const char *path)
{
	return path_has_type(path, S_IFLNK, AT_SYMLINK_NOFOLLOW);
}

/* A mount point is on another device than its parent, or is its own parent. */
static bool path_is_mount_point(const char *path)
{
	char parent[4096];
	struct stat st, up;
	struct strbuf buf;

	strbuf_init(&buf, parent, sizeof(parent));
	strbuf_addf(&buf, "%s/..", path);
	if (buf.is_cut || stat(path, &st) < 0 || stat(parent, &up) < 0)
		return false;
	return st.st_dev != up.st_dev || st.st_ino == up.st_ino;
}

static bool path_is_read_write(const char *path)
{
	struct statvfs vfs;

	return statvfs(path, &vfs) == 0 && !(vfs.f_flag & ST_RDONLY);
}

static bool file_not_empty(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

static bool file_is_executable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

static bool directory_not_empty(const char *path)
{
	CLEANUP(fd_closedirp) DIR *dir = opendir(path);

	if (!dir)
		return false;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		if (!str_equal(e->d_name, ".") && !str_equal(e->d_name, ".."))
			return true;
	}
	return false;
}

static bool constant(const char *text)
{
	return str_equal(text, "yes");
}

static bool (*const tests[CONDITION_TYPE_COUNT])(const char *parameter) = {
	[CONDITION_PATH_EXISTS] = path_exists,
	[CONDITION_PATH_IS_DIRECTORY] = path_is_directory,
	[CONDITION_PATH_IS_SYMBOLIC_LINK] = path_is_symbolic_link,
	[CONDITION_PATH_IS_MOUNT_POINT] = path_is_mount_point,
	[CONDITION_PATH_IS_READ_WRITE] = path_is_read_write,
	[CONDITION_FILE_NOT_EMPTY] = file_not_empty,
	[CONDITION_FILE_IS_EXECUTABLE] = file_is_executable,
	[CONDITION_DIRECTORY_NOT_EMPTY] = directory_not_empty,
	[CONDITION_CONSTANT] = constant,
};

/* The conditions, or the assertions: want is 0 or CONDITION_ASSERT. */
static bool holds(const struct plan *plan, struct plan_range range, uint32_t want,
		  const char **ret_text)
{
	bool has_trigger = false, is_triggered = false;

	for (uint32_t i = 0; i < range.count; i++) {
		const struct plan_condition *c = plan_condition(plan, range.first + i);
		if ((c->flags & CONDITION_ASSERT) != want)
			continue;
		bool is_true = tests[c->type](plan_string(plan, c->parameter)) !=
			       !!(c->flags & CONDITION_NEGATE);
		if (c->flags & CONDITION_TRIGGER) {
			has_trigger = true;
			is_triggered |= is_true;
		} else if (!is_true) {
			*ret_text = plan_string(plan, c->text);
			return false;
		}
		if (has_trigger && !is_triggered)
			*ret_text = plan_string(plan, c->text);
	}
	return !has_trigger || is_triggered;
}

enum condition_answer condition_check(const struct plan *plan, uint32_t unit, const char **ret_text)
{
	struct plan_range range = plan_unit(plan, unit)->conditions;

	*ret_text = "";
	if (!holds(plan, range, CONDITION_ASSERT, ret_text))
		return CONDITION_ASSERT_FAILED;
	return holds(plan, range, 0, ret_text) ? CONDITION_HOLDS : CONDITION_UNMET;
}
