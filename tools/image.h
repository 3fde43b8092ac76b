#pragma once
/*
 * An image in whatever form it comes: a tree, the layout or the archive of an OCI image, what
 * docker-save(1) writes, or a tar of a root file system. What is not a tree is unpacked into a
 * folder of our own, which goes with the image.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/str.h"

struct image;

/* A file as one layer has it. All of it is borrowed, for the time of the visit. */
struct image_file {
	const char *path; /* from the image's root: "/usr/bin/app" */
	mode_t mode;
	bool has_owner; /* else uid and gid are those of whoever made the tree */
	uid_t uid;
	gid_t gid;
	bool has_capabilities; /* capabilities(7), of the file */
	size_t layer;	       /* 0 is the lowest */
	const char *data;      /* of a regular file; NULL when it is empty */
	size_t size;
};

/* What the image tells whoever runs it. */
struct image_config {
	char **environment; /* NULL-ended lists, never NULL themselves */
	char **command;	    /* Entrypoint, then Cmd */
	char **names;	    /* the tags that it is called by */
	char *base;	    /* what it was built on, where it says so; or NULL */
	bool has_base_digest;
};

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
