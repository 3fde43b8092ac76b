#pragma once
/*
 * From paths that are allowed and paths that are not, each with what lies below it, to rules that only
 * add (struct rule). Of two limits the one farther down counts, and on one path the one that takes
 * away. What is taken away from a directory is expressed by naming all that lies beside it, which holds
 * while nothing new comes to lie there: on the image's own file system. Elsewhere it is said that the
 * limit has no effect.
 */
#include <sys/types.h>

#include "units/unit.h"

/* A key's word, resolved: what lies at and below the path is allowed, or is not. */
struct path_limit {
	const char *path;
	bool is_allowed;
	const struct allowed_path *from;
};

/* One unit's; the items are in the arena of the units. */
struct spreading {
	struct units *units;
	struct unit *unit; /* whose rules they become */
	dev_t device;	   /* of the image; 0: unknown */
	struct {
		struct path_limit *items;
		size_t count, capacity;
	} limits;
	uint32_t rights; /* that are being spread */
};

/* At most RULES_MAX for one unit; what is more is denied, and rules_settle() says it. */
#define RULES_MAX 1024

/* One rule more for the unit, or more rights in the one that it has of that path (borrowed). */
void spread_add_rule(struct spreading *spreading, const char *path, uint32_t rights);

#define SPREAD_KEY(key) (UINT32_C(1) << (key))

/* The paths of these keys (SPREAD_KEY of each), their links followed, take the place of the limits that
 * there were. */
void spread_set_limits(struct spreading *spreading, uint32_t keys);

/* Rules of the rights for all that lies at and below path, as the limits say; is_allowed: what holds
 * for it where no limit says anything. */
void spread_rights(struct spreading *spreading, const char *path, uint32_t rights, bool is_allowed);

/* A warning for each path of the key that the image does not have, and cannot come to have. */
void spread_say_missing(struct spreading *spreading, enum path_key key);
