#pragma once
/*
 * What the supervisor asks of holdfast-secrets, on its stdin: whose secrets (one unit a run), and
 * of each its name, where it comes from, and how it will be delivered. No value stands in it; those
 * come back as lib/secretfile.h has it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/plan.h"
#include "lib/store.h"
#include "lib/str.h"

#define SECRETREQUEST_REFERENCE_MAX 4096
#define SECRETREQUEST_ITEMS_MAX	    1024       /* of one unit */
#define SECRETREQUEST_MAX	    (1U << 20) /* bytes */

struct secretrequest_item {
	const char *name, *reference; /* borrowed */
	uint32_t delivery, flags, mode;
	int32_t fd; /* inherited: the source of a file: reference, opened at boot; -1: none */
};

/* A request that was checked: its names end with NUL, its enums are in range. */
struct secretrequest {
	const char *unit;
	uint32_t uid; /* to drop to once the sources are open; PLAN_NO_ID: stay */
	uint32_t count;
	const char *base;
	size_t first, size;
};

/* Writes a request into buf (SECRETREQUEST_MAX bytes are always enough; see is_cut). */
void secretrequest_begin(struct strbuf *buf, const char *unit, uint32_t uid);
void secretrequest_add(struct strbuf *buf, const struct secretrequest_item *item);
/* 0, or -E2BIG when it did not fit or has more than SECRETREQUEST_ITEMS_MAX items. */
int secretrequest_end(struct strbuf *buf);

/* The supervisor: the request for all that the plan says of unit, with the fds that the store has
 * for it. 0 or -E2BIG. */
int secretrequest_encode(struct strbuf *buf, const struct plan *plan,
			 const struct store_table *store, uint32_t unit);

/* Checks all of the size bytes at data, which are borrowed. 0 or -EBADMSG. */
int secretrequest_open(const void *data, size_t size, struct secretrequest *ret_request);
/* The item at *cursor (start with 0), which is moved behind it. False at the end. */
bool secretrequest_next(const struct secretrequest *request, size_t *cursor,
			struct secretrequest_item *ret_item);
