#pragma once
/*
 * An image in whatever form it comes: a tree, the layout or the archive of an OCI image, what
 * docker-save(1) writes, or a tar of a root file system. What is not a tree is unpacked into a
 * folder of our own, which goes with the image.
 */
#include "lib/str.h"
#include "tools/parts.h"

struct image;

struct image_visitor {
	/* Each file of each layer, the lowest layer first, also those that a later layer hides.
	 * 0, or -errno to give up. */
	int (*visit)(void *context, const struct image_file *file);
	void *context;
};

/*
 * Opens path, or of a layout or an archive with several images the one named in path:TAG. 0 or
 * -errno, with a sentence in message: -ENOENT there is none, -EBADMSG it is not what it seems,
 * -ENOTUNIQ it has several, and which ones.
 */
int image_open(const char *path, const struct image_visitor *visitor, struct strbuf *message,
	       struct image **ret_image);
void image_close(struct image *image);
void image_closep(struct image **image);

/* The tree as an instance would see it: an fd of a folder, the image's own. */
int image_root(const struct image *image);
/* NULL for what is no more than files. */
const struct image_config *image_config(const struct image *image);
size_t image_layers(const struct image *image);
/* Whether an instance would see this file of that layer: no later one replaced or removed it. */
bool image_shows(const struct image *image, const char *path, size_t layer);
/* Whether path leads to a regular file, by however many links. */
bool image_reaches(const struct image *image, const char *path);
