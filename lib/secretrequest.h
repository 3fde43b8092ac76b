#pragma once
/*
 * What the supervisor asks of holdfast-secrets and holdfast-secrets-remote, on their stdin: whose
 * secrets (one unit a run), what to do with them and until when, the settings of services, and of
 * each secret its name, where it comes from, and how it will be delivered. No value stands in it;
 * those come back as lib/secretfile.h has it, and how it went as lib/secretreport.h.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/event.h"
#include "lib/plan.h"
#include "lib/store.h"
#include "lib/str.h"

#define SECRETREQUEST_REFERENCE_MAX 4096
#define SECRETREQUEST_ITEMS_MAX	    1024 /* of one unit */
#define SECRETREQUEST_SETTINGS_MAX  64
#define SECRETREQUEST_MAX	    (1U << 20) /* bytes */

enum secrets_operation {
	SECRETS_FETCH,	 /* all of them, to start with */
	SECRETS_REFRESH, /* look for changes and renew leases; what cannot be had now is kept */
	SECRETS_REVOKE,	 /* give back what was lent: the unit is gone for good */
	SECRETS_OPERATION_COUNT
};

struct secretrequest_item {
	const char *name, *reference; /* borrowed */
	uint32_t delivery, flags, mode;
	int32_t fd; /* inherited: the source of a file: reference, opened at boot; -1: none */
};

/* What is asked for all of the unit's secrets. Files by their number in the helper; -1: none. */
struct secretrequest_head {
	const char *unit;
	uint32_t uid; /* to drop to once the sources are open; PLAN_NO_ID: stay */
	uint32_t operation;
	uint32_t deadline_ms;	 /* from the helper's start, by when it has ended; 0: no limit */
	int32_t state_fd;	 /* read-write: the remote helper's own memory between runs */
	int32_t report_fd;	 /* to be filled: lib/secretreport.h */
	enum event_format lines; /* how what it says on its stderr looks */
	int32_t old_fd;		 /* the values that the unit has now: lib/secretfile.h */
};

/* A request that was checked: its texts end with NUL, its enums are in range. */
struct secretrequest {
	struct secretrequest_head head;
	uint32_t count, n_settings;
	const char *base;
	size_t settings, first, size;
};

/*
 * Writes a request into buf (SECRETREQUEST_MAX bytes are always enough; see is_cut): the head, then
 * settings, then items. A setting is NAME=VALUE of holdfast.conf's [Secrets] under the name that
 * an environment would have it (AWS_REGION=…): the helper looks there first and then into holdfast's
 * own environment.
 */
void secretrequest_begin(struct strbuf *buf, const struct secretrequest_head *head);
void secretrequest_setting(struct strbuf *buf, const char *setting);
void secretrequest_add(struct strbuf *buf, const struct secretrequest_item *item);
/* 0, or -E2BIG when it did not fit or has too many settings or items. */
int secretrequest_end(struct strbuf *buf);

/* The supervisor: all items that the plan has for unit, with the fds that the store has for them;
 * and a whole request of these, for the local helper. 0 or -E2BIG. */
void secretrequest_add_all(struct strbuf *buf, const struct plan *plan,
			   const struct store_table *store, uint32_t unit);
int secretrequest_encode(struct strbuf *buf, const struct plan *plan,
			 const struct store_table *store, uint32_t unit);

/* Checks all of the size bytes at data, which are borrowed. 0 or -EBADMSG. */
int secretrequest_open(const void *data, size_t size, struct secretrequest *ret_request);
/* The item at *cursor (start with 0), which is moved behind it. False at the end. */
bool secretrequest_next(const struct secretrequest *request, size_t *cursor,
			struct secretrequest_item *ret_item);
/* The value of the setting of that name, borrowed, or NULL. */
const char *secretrequest_find_setting(const struct secretrequest *request, const char *name);
