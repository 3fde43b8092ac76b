/*
 * A layer's archive is read twice: first for what it takes away from the layers below, then for
 * what it adds. So the order of its members does not matter, and a name that is both taken away and
 * added is there.
 */
#include "tools/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/walk.h"

#define BLOCK_BYTES 65536
#define WHITEOUT    ".wh."
#define OPAQUE	    ".wh..wh..opq"

struct member {
	struct archive *archive;
	struct archive_entry *entry;
	int parent_fd; /* where it lies, its folders' links resolved */
	char *name;
	char path[PATH_MAX]; /* of it, as it lies there */
};

static void finish_walk(struct walk *walk)
{
	walk_finish(walk);
}

int unpack_open_file(int root_fd, const char *path)
{
	CLEANUP(finish_walk) struct walk walk;

	walk_init(&walk, root_fd, NULL, NULL);
	walk.keep_last_link = true;
	int r = walk_to(&walk, path);
	return r < 0 ? r : walk_open(&walk);
}

/* ---------------------------------------------------------------- removing */

static int empty_folder(int fd)
{
	DIR *dir = fdopendir(fd);
	int r = 0;

	if (!dir) {
		r = -errno;
		(void)fd_close(fd);
		return r;
	}
	for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = unpack_remove(dirfd(dir), entry->d_name);
	}
	(void)closedir(dir);
	return r;
}

int unpack_remove(int directory_fd, const char *name)
{
	if (unlinkat(directory_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	/* Linux says EISDIR, POSIX EPERM. */
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	int fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = empty_folder(fd);
	if (r == 0 && unlinkat(directory_fd, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

/* ---------------------------------------------------------------- names */

/* "./usr//bin/" becomes "usr/bin". False for what leads out, or is too long. */
static bool normalize(const char *from, char to[PATH_MAX])
{
	size_t length = 0;

	while (*from) {
		size_t word = strcspn(from, "/");
		if (word == 2 && from[0] == '.' && from[1] == '.')
			return false;
		if (word > 0 && !(word == 1 && *from == '.')) {
			if (length + word + 2 > PATH_MAX)
				return false;
			if (length > 0)
				to[length++] = '/';
			memcpy(to + length, from, word);
			length += word;
		}
		from += word + strspn(from + word, "/");
	}
	to[length] = '\0';
	return true;
}

/* The folder at path. An fd, its links resolved in ret_path; or -errno. */
static int find_folder(int root_fd, const char *path, char ret_path[PATH_MAX])
{
	CLEANUP(finish_walk) struct walk walk;

	walk_init(&walk, root_fd, NULL, NULL);
	int r = walk_to(&walk, path);
	if (r < 0)
		return r;
	(void)str_copy(ret_path, PATH_MAX, walk.path);
	int fd = openat(walk.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The same, made as far as it is not there yet. */
static int open_folder(int root_fd, char *path, char ret_path[PATH_MAX])
{
	int fd = find_folder(root_fd, path, ret_path);

	if (fd != -ENOENT)
		return fd;
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = '\0';
	CLEANUP(fd_closep) int parent = open_folder(root_fd, slash ? path : "", ret_path);
	if (slash)
		*slash = '/';
	if (parent < 0)
		return parent;
	const char *name = slash ? slash + 1 : path;
	/* A link that leads nowhere has that name already. */
	if (mkdirat(parent, name, 0755) < 0)
		return -errno;
	size_t length = strlen(ret_path);
	(void)snprintf(ret_path + length, PATH_MAX - length, "/%s", name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int locate(const struct unpacking *unpacking, char path[PATH_MAX], struct member *member)
{
	char *slash = strrchr(path, '/'), folder[PATH_MAX] = "";
	struct strbuf buf;

	if (slash)
		*slash = '\0';
	member->name = slash ? slash + 1 : path;
	member->parent_fd = open_folder(unpacking->root_fd, slash ? path : "", folder);
	if (member->parent_fd < 0)
		return member->parent_fd;
	strbuf_init(&buf, member->path, sizeof(member->path));
	strbuf_addf(&buf, "%s/%s", folder, member->name);
	return buf.is_cut ? -ENAMETOOLONG : 0;
}

/* ---------------------------------------------------------------- one member */

static int make_folder(const struct member *member)
{
	mode_t mode = archive_entry_perm(member->entry) & 0777;

	if (mkdirat(member->parent_fd, member->name, 0755) < 0) {
		struct stat st;
		if (errno != EEXIST)
			return -errno;
		if (fstatat(member->parent_fd, member->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		if (!S_ISDIR(st.st_mode)) {
			if (unlinkat(member->parent_fd, member->name, 0) < 0 ||
			    mkdirat(member->parent_fd, member->name, 0755) < 0)
				return -errno;
		}
	}
	/* Ours to enter and to empty, whoever we are. */
	return fchmodat(member->parent_fd, member->name, mode | 0700, 0) < 0 ? -errno : 0;
}

static int make_file(const struct member *member)
{
	mode_t mode = archive_entry_perm(member->entry) & 0777;
	CLEANUP(fd_closep)
	int fd = openat(member->parent_fd, member->name,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (archive_read_data_into_fd(member->archive, fd) < ARCHIVE_WARN)
		return -EBADMSG;
	return fchmod(fd, mode | 0600) < 0 ? -errno : 0;
}

static int make_hard_link(const struct unpacking *unpacking, const struct member *member)
{
	char path[PATH_MAX];

	if (!normalize(archive_entry_hardlink(member->entry), path))
		return -EXDEV;
	CLEANUP(fd_closep) int fd = unpack_open_file(unpacking->root_fd, path);
	char link[32];
	if (fd < 0)
		return fd;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, link, member->parent_fd, member->name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return 0;
}

static int make(const struct unpacking *unpacking, const struct member *member)
{
	const char *target = archive_entry_symlink(member->entry);
	int type = (int)archive_entry_filetype(member->entry);

	if (type == AE_IFDIR)
		return make_folder(member);
	int r = unpack_remove(member->parent_fd, member->name);
	if (r < 0)
		return r;
	if (archive_entry_hardlink(member->entry))
		return make_hard_link(unpacking, member);
	if (type == AE_IFLNK)
		return !target || symlinkat(target, member->parent_fd, member->name) < 0 ? -errno
											 : 0;
	return type == AE_IFREG ? make_file(member) : 0;
}

static bool has_capabilities(struct archive_entry *entry)
{
	const char *name;
	const void *value;
	size_t size;

	(void)archive_entry_xattr_reset(entry);
	while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
		if (strcmp(name, "security.capability") == 0)
			return true;
	}
	return false;
}

static int show(const struct unpacking *unpacking, const struct member *member)
{
	struct archive_entry *entry = member->entry;
	struct image_file file = {
		.path = member->path,
		.mode = archive_entry_mode(entry),
		.has_owner = true,
		.uid = (uid_t)archive_entry_uid(entry),
		.gid = (gid_t)archive_entry_gid(entry),
		.has_capabilities = has_capabilities(entry),
		.layer = unpacking->layer,
	};
	struct stat st;
	void *data = MAP_FAILED;

	if (archive_entry_hardlink(entry))
		file.mode = (file.mode & 07777) | S_IFREG;
	if (S_ISREG(file.mode)) {
		CLEANUP(fd_closep)
		int fd = openat(member->parent_fd, member->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0)
			return -errno;
		file.size = (size_t)st.st_size;
		if (file.size > 0) {
			data = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
			if (data == MAP_FAILED)
				return -errno;
			file.data = data;
		}
	}
	int r = unpacking->added(unpacking->context, &file);
	if (data != MAP_FAILED)
		(void)munmap(data, file.size);
	return r;
}

static int add(const struct unpacking *unpacking, char *path, struct member *member)
{
	int r = locate(unpacking, path, member);

	if (r == 0)
		r = make(unpacking, member);
	if (r == 0)
		r = show(unpacking, member);
	member->parent_fd = fd_close(member->parent_fd);
	return r;
}

/* What lies below it is gone; what this layer has itself comes with the second reading. */
static int take_away(const struct unpacking *unpacking, char *path, struct member *member)
{
	int r = locate(unpacking, path, member);

	if (r == 0 && strcmp(member->name, OPAQUE) == 0) {
		int fd = openat(member->parent_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : empty_folder(fd);
	} else if (r == 0) {
		const char *name = member->name + strlen(WHITEOUT);
		bool is_name = *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
		r = is_name ? unpack_remove(member->parent_fd, name) : -EXDEV;
	}
	member->parent_fd = fd_close(member->parent_fd);
	return r;
}

/* ---------------------------------------------------------------- the archive */

static bool is_whiteout(const struct unpacking *unpacking, const char *path)
{
	return unpacking->has_whiteouts && str_starts(str_base_name(path), WHITEOUT);
}

static const char *explain(int error, struct archive *archive)
{
	const char *text = archive_error_string(archive);

	if (error == -EXDEV)
		return "expected a name below the root, and not as long";
	return error == -EBADMSG && text ? text : strerror(-error);
}

static int take_member(const struct unpacking *unpacking, bool is_taking_away,
		       struct member *member, struct strbuf *message)
{
	const char *name = archive_entry_pathname(member->entry);
	char path[PATH_MAX];
	int r = -EXDEV;

	member->parent_fd = -EBADF;
	if (name && normalize(name, path)) {
		/* The root itself, and what is the other reading's. */
		if (!*path || is_whiteout(unpacking, path) != is_taking_away)
			return 0;
		r = is_taking_away ? take_away(unpacking, path, member)
				   : add(unpacking, path, member);
	}
	if (r < 0)
		strbuf_addf(message, "%s: %s", name ? name : "a name that is no text",
			    explain(r, member->archive));
	return r;
}

static int take_members(const struct unpacking *unpacking, bool is_taking_away,
			struct archive *archive, struct strbuf *message)
{
	struct member member = {.archive = archive};
	int r = 0;

	while (r == 0) {
		int next = archive_read_next_header(archive, &member.entry);
		if (next == ARCHIVE_EOF)
			return 0;
		if (next < ARCHIVE_WARN)
			return -EBADMSG;
		r = take_member(unpacking, is_taking_away, &member, message);
	}
	return r;
}

static int read_archive(const struct unpacking *unpacking, int fd, bool is_taking_away,
			struct strbuf *message)
{
	struct archive *archive = archive_read_new();
	int r = -ENOMEM;

	if (!archive)
		return r;
	/* Those that the library reads itself: others it would give to programs of the machine. */
	(void)archive_read_support_filter_gzip(archive);
	(void)archive_read_support_filter_bzip2(archive);
	(void)archive_read_support_filter_xz(archive);
	(void)archive_read_support_filter_zstd(archive);
	(void)archive_read_support_format_tar(archive);
	(void)archive_read_support_format_empty(archive);
	if (lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	else if (archive_read_open_fd(archive, fd, BLOCK_BYTES) == ARCHIVE_OK)
		r = take_members(unpacking, is_taking_away, archive, message);
	else
		r = -EBADMSG;
	if (r < 0 && message->length == 0)
		strbuf_addf(message, "not an archive that can be read: %s", explain(r, archive));
	(void)archive_read_free(archive);
	return r;
}

int unpack(const struct unpacking *unpacking, int fd, struct strbuf *message)
{
	int r = 0;

	if (unpacking->has_whiteouts && unpacking->layer > 0)
		r = read_archive(unpacking, fd, true, message);
	if (r == 0)
		r = read_archive(unpacking, fd, false, message);
	return r;
}
