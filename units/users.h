#pragma once
/*
 * Users and groups from /etc/passwd and /etc/group below the root, and from nothing else: libc's
 * own functions may load NSS modules into us (facts: a static getpwnam dlopens what nsswitch.conf
 * names).
 */
#include <stdbool.h>
#include <stdint.h>

#include "units/unit.h"

struct user {
	const char *name, *home, *shell; /* "" when unknown */
	uint32_t uid, gid;
};

/* By name or number. A number needs no entry: its group is then the same number. False: no such
 * user. */
bool users_find(struct units *units, const char *text, struct user *ret_user);
bool users_find_group(struct units *units, const char *text, uint32_t *ret_gid);

/* Calls add for each group that lists the user as a member. */
void users_groups_of(struct units *units, const char *name,
		     void (*add)(void *context, uint32_t gid), void *context);
