#include "init/boot/tree.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "lib/str.h"

int tree_mount_tmpfs(const char *path, const struct tmpfs *tmpfs)
{
	char text[128];
	struct strbuf options;

	strbuf_init(&options, text, sizeof(text));
	strbuf_addf(&options, "mode=%04o", (unsigned)tmpfs->mode);
	if (tmpfs->size_bytes > 0)
		strbuf_addf(&options, ",size=%" PRIu64, tmpfs->size_bytes);
	if (tmpfs->nr_inodes > 0)
		strbuf_addf(&options, ",nr_inodes=%" PRIu64, tmpfs->nr_inodes);
	return mount("tmpfs", path, "tmpfs", MS_NOSUID | tmpfs->flags, text) < 0 ? -errno : 0;
}

bool tree_is_refusal(int error)
{
	return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

bool tree_is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool tree_is_empty(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	if (!dir)
		return false;
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
		n += !str_equal(e->d_name, ".") && !str_equal(e->d_name, "..");
	(void)closedir(dir);
	return n == 0;
}

/* Cuts the last component off; "/" stays. */
static void cut_to_parent(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash)
		slash[slash == path ? 1 : 0] = '\0';
}

int tree_check_writable(const char *path)
{
	char at[PATH_MAX];

	if (!str_copy(at, sizeof(at), path))
		return -ENAMETOOLONG;
	while (access(at, W_OK) < 0) {
		if (errno != ENOENT || str_equal(at, "/"))
			return -errno;
		cut_to_parent(at);
	}
	return 0;
}

bool tree_is_memory(const char *path)
{
	struct statfs st;

	if (statfs(path, &st) < 0)
		return false;
	return (unsigned long)st.f_type == TMPFS_MAGIC || (unsigned long)st.f_type == RAMFS_MAGIC;
}

int tree_make_parent(const char *path)
{
	char at[PATH_MAX];

	if (!str_copy(at, sizeof(at), path))
		return -ENAMETOOLONG;
	for (char *slash = strchr(at + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(at, 0755) < 0 && !tree_is_directory(at))
			return -errno;
		*slash = '/';
	}
	return 0;
}

int tree_make(const char *path, mode_t mode)
{
	int r = tree_make_parent(path);

	if (r < 0)
		return r;
	if (mkdir(path, mode) < 0)
		return tree_is_directory(path) ? 0 : -errno;
	return chmod(path, mode) < 0 ? -errno : 0;
}

int tree_own(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return -EPERM;
	return chmod(path, mode) < 0 ? -errno : 0;
}
