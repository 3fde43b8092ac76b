#pragma once
/*
 * Kernel modules, by the list that was made with the image: /modules, one "NAME.ko [PARAMETERS]" a
 * line in the order in which they are loaded, from /lib/modules. Nothing is looked up, nothing
 * depends on what hardware says it is.
 *
 * A module that is missing or refused is said and left: whether the root can be had without it is
 * found out by having it.
 */
#include <stddef.h>

#define MODULES_NAME_MAX 64

struct modules_line {
	char file[MODULES_NAME_MAX];	  /* "dm-verity.ko" */
	char directory[MODULES_NAME_MAX]; /* its folder in /sys/module: "dm_verity" */
	const char *parameters;		  /* borrowed; "" for none */
};

/* Pure. Takes a line apart, which it ends in place. 0; 1: an empty line; -EINVAL. */
int modules_parse_line(char *line, struct modules_line *ret_line);

/* Loads them all. How many could not be had, for whoever fails later; a list that is not there is
 * none at all. -errno: the list itself cannot be read. */
int modules_load(void);
