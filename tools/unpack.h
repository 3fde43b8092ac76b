#pragma once
/*
 * One archive, unpacked into a folder: a layer over the layers before it, with what it takes away
 * (the whiteouts of the OCI image specification, "Image Layer Filesystem Changeset"). Nothing is
 * written outside of the folder, whatever names and links the archive has; no owner, no set-id bit
 * and no device is made, so it needs no privilege.
 */
#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"
#include "tools/parts.h"

struct unpacking {
	int root_fd; /* of the folder; borrowed */
	size_t layer;
	bool has_whiteouts; /* of a layer; else such names are files like others */
	/* Each file, once it lies in the folder, its path as it lies there. 0 or -errno. */
	int (*added)(void *context, const struct image_file *file);
	void *context;
};

/* Reads a tar, also a compressed one, from fd. 0 or -errno, with a sentence in message. */
int unpack(const struct unpacking *unpacking, int fd, struct strbuf *message);

/* Opens the regular file at path to be read, as lib/walk.h finds it: inside of the root, and not
 * through a link at its end. An fd (O_CLOEXEC), or -errno. */
int unpack_open_file(int root_fd, const char *path);
/* Removes name below directory_fd, with all that is in it. 0 or -errno; its absence is none. */
int unpack_remove(int directory_fd, const char *name);
