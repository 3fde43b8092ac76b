#pragma once
/*
 * What an image is made of, for whoever unpacks, reads or judges it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

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
