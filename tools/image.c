#include "tools/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/walk.h"
#include "tools/oci.h"
#include "tools/unpack.h"

/* The last layer that had something at path. */
struct owner {
	char *path;
	size_t layer;
};

struct image {
	int root_fd;
	char *folder; /* what was unpacked lies there, and goes with us; NULL: nothing was */
	bool has_layers, has_config;
	struct oci oci;
	size_t n_layers;
	void *owners; /* a tree of struct owner, by path (tsearch(3)) */
};

/* ---------------------------------------------------------------- whose a file is */

static int compare_owners(const void *a, const void *b)
{
	const struct owner *left = a, *right = b;

	return strcmp(left->path, right->path);
}

static void free_owner(void *data)
{
	struct owner *owner = data;

	free(owner->path);
	free(owner);
}

static int own(struct image *image, const char *path, size_t layer)
{
	struct owner *owner = calloc(1, sizeof(*owner));

	if (!owner || !(owner->path = strdup(path))) {
		free(owner);
		return -ENOMEM;
	}
	owner->layer = layer;
	struct owner **found = tsearch(owner, &image->owners, compare_owners);
	if (!found || *found != owner)
		free_owner(owner);
	if (!found)
		return -ENOMEM;
	(*found)->layer = layer;
	return 0;
}

bool image_shows(const struct image *image, const char *path, size_t layer)
{
	struct owner key = {.path = (char *)(uintptr_t)path};
	struct stat st;

	if (!image->has_layers)
		return true;
	if (fstatat(image->root_fd, path + 1, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	struct owner *const *found = tfind(&key, &image->owners, compare_owners);
	return found && (*found)->layer == layer;
}

bool image_reaches(const struct image *image, const char *path)
{
	struct walk walk;
	struct stat st;

	walk_init(&walk, image->root_fd, NULL, NULL);
	bool is_there = walk_to(&walk, path) == 0 && fstat(walk.fd, &st) == 0;
	walk_finish(&walk);
	return is_there && S_ISREG(st.st_mode);
}

int image_root(const struct image *image)
{
	return image->root_fd;
}

const struct image_config *image_config(const struct image *image)
{
	return image->has_config ? &image->oci.config : NULL;
}

size_t image_layers(const struct image *image)
{
	return image->n_layers;
}

/* ---------------------------------------------------------------- a tree */

struct tour {
	const struct image_visitor *visitor;
	struct strbuf path;
	bool has_owner;
	dev_t device; /* what is mounted in the tree is not of the image */
};

static int tour_folder(struct tour *tour, int fd);

static int visit_regular(struct tour *tour, int fd, struct image_file *file)
{
	char value[64];

	file->has_capabilities =
		fgetxattr(fd, "security.capability", value, sizeof(value)) >= 0 || errno == ERANGE;
	if (file->size == 0)
		return tour->visitor->visit(tour->visitor->context, file);
	void *data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	file->data = data;
	int r = tour->visitor->visit(tour->visitor->context, file);
	(void)munmap(data, file->size);
	return r;
}

static int tour_entry(struct tour *tour, int folder_fd, const char *name)
{
	struct stat st;

	/* The tree may be somebody's who works in it: what went meanwhile is not there. */
	if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	struct image_file file = {
		.path = tour->path.data,
		.mode = st.st_mode,
		.has_owner = tour->has_owner,
		.uid = st.st_uid,
		.gid = st.st_gid,
		.size = S_ISREG(st.st_mode) ? (size_t)st.st_size : 0,
	};
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return tour->visitor->visit(tour->visitor->context, &file);
	CLEANUP(fd_closep)
	int fd = openat(folder_fd, name,
			O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
				(S_ISDIR(st.st_mode) ? O_DIRECTORY : 0));
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISREG(st.st_mode))
		return visit_regular(tour, fd, &file);
	int r = tour->visitor->visit(tour->visitor->context, &file);
	return r < 0 || st.st_dev != tour->device ? r : tour_folder(tour, fd_steal(&fd));
}

/* Takes fd. The path stands where an error left it, so that the message can name it. */
static int tour_folder(struct tour *tour, int fd)
{
	CLEANUP(fd_closedirp) DIR *dir = fdopendir(fd);
	size_t length = tour->path.length;

	if (!dir) {
		(void)fd_close(fd);
		return -errno;
	}
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		strbuf_addf(&tour->path, "/%s", entry->d_name);
		int r = tour->path.is_cut ? -ENAMETOOLONG
					  : tour_entry(tour, dirfd(dir), entry->d_name);
		if (r < 0)
			return r;
		tour->path.length = length;
		tour->path.data[length] = '\0';
	}
	return 0;
}

static int visit_tree(const struct image *image, const struct image_visitor *visitor,
		      struct strbuf *message)
{
	char path[PATH_MAX] = "";
	/* A developer's tree is the developer's: who will own it is said when an image is made. */
	struct tour tour = {.visitor = visitor, .has_owner = geteuid() == 0};
	struct stat st;

	if (fstat(image->root_fd, &st) < 0)
		return -errno;
	tour.device = st.st_dev;
	strbuf_init(&tour.path, path, sizeof(path));
	int fd = openat(image->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 ? -errno : tour_folder(&tour, fd);
	if (r < 0)
		strbuf_addf(message, "%s: %s", *path ? path : "/", strerror(-r));
	return r;
}

/* ---------------------------------------------------------------- layers */

struct stacking {
	struct image *image;
	const struct image_visitor *visitor;
};

static int add_file(void *context, const struct image_file *file)
{
	struct stacking *stacking = context;
	int r = own(stacking->image, file->path, file->layer);

	return r < 0 ? r : stacking->visitor->visit(stacking->visitor->context, file);
}

static int stack(struct image *image, const struct image_visitor *visitor, int archive_fd,
		 bool has_whiteouts, struct strbuf *message)
{
	struct stacking stacking = {.image = image, .visitor = visitor};
	struct unpacking unpacking = {
		.root_fd = image->root_fd,
		.layer = image->n_layers++,
		.has_whiteouts = has_whiteouts,
		.added = add_file,
		.context = &stacking,
	};

	return unpack(&unpacking, archive_fd, message);
}

/* A folder below the one that goes with the image. */
static int make_folder(const struct image *image, const char *name)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", image->folder, name);
	if (mkdir(path, 0700) < 0)
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int prepare_folder(struct image *image)
{
	const char *top = getenv("TMPDIR");

	if (asprintf(&image->folder, "%s/holdfast-check-XXXXXX", top && *top ? top : "/tmp") < 0) {
		image->folder = NULL;
		return -ENOMEM;
	}
	if (!mkdtemp(image->folder)) {
		int error = errno;
		free(image->folder);
		image->folder = NULL;
		return -error;
	}
	image->has_layers = true;
	image->root_fd = make_folder(image, "root");
	return image->root_fd < 0 ? image->root_fd : 0;
}

static int stack_layout(struct image *image, const struct image_visitor *visitor, int layout_fd,
			const char *tag, struct strbuf *message)
{
	int r = oci_read(layout_fd, tag, message, &image->oci);

	if (r < 0)
		return r;
	image->has_config = true;
	for (char **layer = image->oci.layers; r == 0 && *layer; layer++) {
		CLEANUP(fd_closep) int fd = unpack_open_file(layout_fd, *layer);
		if (fd < 0) {
			strbuf_addf(message, "%s: %s", *layer, strerror(-fd));
			return fd;
		}
		r = stack(image, visitor, fd, true, message);
	}
	return r;
}

/* ---------------------------------------------------------------- an archive */

static int ignore_file(void *context, const struct image_file *file)
{
	(void)context;
	(void)file;
	return 0;
}

/* What it is shows when it is unpacked: a layout, or a root file system. */
static int open_archive(struct image *image, const struct image_visitor *visitor, int archive_fd,
			const char *tag, struct strbuf *message)
{
	CLEANUP(fd_closep) int layout_fd = make_folder(image, "layout");
	struct unpacking unpacking = {.root_fd = layout_fd, .added = ignore_file};

	if (layout_fd < 0) {
		strbuf_addf(message, "%s: %s", image->folder, strerror(-layout_fd));
		return layout_fd;
	}
	int r = unpack(&unpacking, archive_fd, message);
	if (r < 0)
		return r;
	if (oci_is_layout(layout_fd))
		return stack_layout(image, visitor, layout_fd, tag, message);
	if (tag) {
		strbuf_addf(message, "a root file system has no tags: \"%s\"", tag);
		return -ENOENT;
	}
	return stack(image, visitor, archive_fd, false, message);
}

/* ---------------------------------------------------------------- opening */

/* path, or path:TAG. */
static int open_either(const char *path, char *buffer, const char **ret_tag)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *colon;

	*ret_tag = NULL;
	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	if (!str_copy(buffer, PATH_MAX, path) || !(colon = strrchr(buffer, ':')) || !colon[1] ||
	    strchr(colon, '/'))
		return -ENOENT;
	*colon = '\0';
	*ret_tag = colon + 1;
	fd = open(buffer, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_form(struct image *image, const struct image_visitor *visitor, int *fd,
		     const char *tag, struct strbuf *message)
{
	struct stat st;

	if (fstat(*fd, &st) < 0)
		return -errno;
	bool is_folder = S_ISDIR(st.st_mode), is_layout = is_folder && oci_is_layout(*fd);
	if (!is_folder && !S_ISREG(st.st_mode))
		return -EBADMSG;
	if (is_folder && !is_layout) {
		image->root_fd = fd_steal(fd);
		image->n_layers = 1;
		return tag ? -ENOENT : visit_tree(image, visitor, message);
	}
	int r = prepare_folder(image);
	if (r < 0)
		return r;
	return is_layout ? stack_layout(image, visitor, *fd, tag, message)
			 : open_archive(image, visitor, *fd, tag, message);
}

int image_open(const char *path, const struct image_visitor *visitor, struct strbuf *message,
	       struct image **ret_image)
{
	struct image *image = calloc(1, sizeof(*image));
	char buffer[PATH_MAX];
	const char *tag;

	if (!image)
		return -ENOMEM;
	image->root_fd = -EBADF;
	CLEANUP(fd_closep) int fd = open_either(path, buffer, &tag);
	int r = fd < 0 ? fd : open_form(image, visitor, &fd, tag, message);
	if (r < 0) {
		image_close(image);
		if (message->length == 0)
			strbuf_adds(message,
				    r == -EBADMSG ? "neither a tree nor an archive" : strerror(-r));
		return r;
	}
	*ret_image = image;
	return 0;
}

void image_close(struct image *image)
{
	if (!image)
		return;
	if (image->folder)
		(void)unpack_remove(AT_FDCWD, image->folder);
	free(image->folder);
	(void)fd_close(image->root_fd);
	oci_finish(&image->oci);
	tdestroy(image->owners, free_owner);
	free(image);
}

void image_closep(struct image **image)
{
	image_close(*image);
}
