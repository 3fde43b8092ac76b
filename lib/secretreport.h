#pragma once
/*
 * What a secrets helper tells the supervisor about one run, in a memory file beside the values: how
 * it ended, when it wants to be run again, and of each item of the request, in its order, what
 * became of it. No value stands in it, nor anything made from one but its length: names, versions
 * and times are for status, metrics and the dump.
 *
 * The helper speaks with strangers, so the supervisor takes this as a stranger's bytes.
 */
#include <stddef.h>
#include <stdint.h>

#include "lib/secretrequest.h"

#define SECRETREPORT_VERSION_MAX 64  /* with its NUL */
#define SECRETREPORT_FAILURE_MAX 384 /* likewise */
#define SECRETREPORT_NEVER	 UINT64_MAX

/* What became of one secret, and of the run: each has one exit status (design, exit statuses). */
enum secret_outcome {
	SECRET_OK,
	SECRET_NOT_FOUND,   /* 66 */
	SECRET_DENIED,	    /* 77: no credentials, or not with these */
	SECRET_MALFORMED,   /* 78: the reference, the name or the value is not what it must be */
	SECRET_TEMPORARY,   /* 75: throttled, a server's failure: worth another try */
	SECRET_UNREACHABLE, /* 69: no connection, no such host, no answer in time */
	SECRET_FAILED,	    /* 70: the kernel would not, or a bug of ours */
	SECRET_OUTCOME_COUNT
};
extern const int secret_outcome_status[SECRET_OUTCOME_COUNT];

/* Of the run. */
#define SECRETREPORT_CHANGED (1U << 0) /* some value differs from what the old values file has */
#define SECRETREPORT_KEPT    (1U << 1) /* for some the last known good was kept */
#define SECRETREPORT_FLAGS   (SECRETREPORT_CHANGED | SECRETREPORT_KEPT)

/* Of an item. */
#define SECRETREPORT_ITEM_CONFIG  (1U << 0) /* Config=: may be shown */
#define SECRETREPORT_ITEM_KEPT	  (1U << 1) /* the value is the old one: a refresh failed */
#define SECRETREPORT_ITEM_ABSENT  (1U << 2) /* optional and not there */
#define SECRETREPORT_ITEM_CHANGED (1U << 3)
#define SECRETREPORT_ITEM_FLAGS                                                         \
	(SECRETREPORT_ITEM_CONFIG | SECRETREPORT_ITEM_KEPT | SECRETREPORT_ITEM_ABSENT | \
	 SECRETREPORT_ITEM_CHANGED)

struct secretreport_item {
	uint32_t outcome; /* enum secret_outcome, of this run's attempt */
	uint32_t flags;
	uint32_t length;  /* bytes of its value; of a path: how many secrets it had */
	uint32_t lease_s; /* 0: none */
	int64_t expires;  /* Unix seconds: the first end of a certificate in the value; 0: none */
	char version[SECRETREPORT_VERSION_MAX]; /* printable ASCII, NUL-ended; empty: none */
};

struct secretreport {
	uint64_t magic;
	uint32_t version;
	uint32_t count; /* of items: the request's */
	int32_t status; /* of exit */
	uint32_t flags;
	uint64_t next_ms;      /* to be run again so long from now; SECRETREPORT_NEVER */
	uint64_t lease_end_ms; /* so long from now the values end for good; SECRETREPORT_NEVER */
	uint32_t retry_ms;     /* after a failure: not before; 0: none said */
	uint32_t n_retries;    /* calls that were repeated in this run */
	/* Why the first of the items that failed did, in words for people; printable ASCII,
	 * NUL-ended; empty: none did. */
	char failure[SECRETREPORT_FAILURE_MAX];
	struct secretreport_item items[SECRETREQUEST_ITEMS_MAX];
};

/* The helper: empties report for count items. */
void secretreport_init(struct secretreport *report, uint32_t count);
/* Text that a service gave, as a version: what is not printable ASCII becomes '?', and it is cut. */
void secretreport_set_version(struct secretreport_item *item, const char *text);
/* A sentence likewise. */
void secretreport_set_failure(struct secretreport *report, const char *text);
/* The whole of it, from the start of fd. 0 or -errno. */
int secretreport_write(int fd, const struct secretreport *report);

/* The supervisor: reads and checks one for a request of count items. 0, -EBADMSG, or -errno. */
int secretreport_read(int fd, uint32_t count, struct secretreport *ret_report);
/* Checks size bytes of data likewise. 0 or -EBADMSG. */
int secretreport_check(const void *data, size_t size, uint32_t count);
