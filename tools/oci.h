#pragma once
/*
 * Which layers an image has, and what it says of itself, from the JSON of the two formats that
 * images are handed on in: the OCI image layout (image-layout.md, manifest.md, config.md of the OCI
 * image specification) and what docker-save(1) writes (manifest.json). Both are hostile input.
 */
#include "lib/str.h"
#include "tools/parts.h"

struct oci {
	char **layers; /* paths below the layout's folder, the lowest layer first; NULL-ended */
	struct image_config config;
};

/* Whether that folder has such a layout. */
bool oci_is_layout(int fd);

/*
 * Reads it: the only image in it, or the one that is called tag (NULL: none was named); of an image
 * for several processors the one for this machine's, else the first. 0 or -errno, with a sentence
 * in message: -ENOENT no such tag, -ENOTUNIQ several images, -EBADMSG.
 */
int oci_read(int fd, const char *tag, struct strbuf *message, struct oci *ret_oci);
void oci_finish(struct oci *oci);
