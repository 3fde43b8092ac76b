#pragma once
/*
 * A kind of secrets: which references are its own, and how it gets them. A program of the secrets
 * path is main.c with a table of these (local.c, remote.c), given when it is linked.
 *
 * A run has two halves. In the first the process is still whoever it was started: open() takes each
 * reference apart and opens what only that user may read, prepare() the rest (token files). Between
 * them the process drops its ids and rights. In the second fetch() gives or fails each of the
 * provider's secrets, by run_give and run_fail (secrets/run.h), from as many services as it needs.
 */
#include "lib/sandbox.h"
#include "lib/secretreport.h"
#include "lib/store.h"
#include "lib/str.h"

struct run;
struct secret;

struct provider {
	/* "file:", …; NULL-ended. */
	const char *const *schemes;
	/* rest: the reference behind its scheme. Keeps what it makes in secret->mine. On any outcome
	 * but SECRET_OK a sentence is in why. Needed. */
	enum secret_outcome (*open)(struct run *run, struct secret *secret, const char *rest,
				    struct strbuf *why);
	/* Once, when it has a secret at all; fails each of them that cannot work. May be NULL. */
	void (*prepare)(struct run *run);
	/* SECRETS_FETCH and SECRETS_REFRESH: after it each secret of its own is given or failed; one
	 * that is neither is failed as a bug of ours. */
	void (*fetch)(struct run *run);
	/* SECRETS_REVOKE: gives back what the state says was lent. NULL: nothing is ever. */
	void (*revoke)(struct run *run);
	/* Lets go of secret->mine. May be NULL. */
	void (*close)(struct secret *secret);
};

struct secrets_program {
	const char *name;
	enum role role;
	const struct provider *const *providers; /* NULL-ended */
	const char *schemes;			 /* all of them, for messages */
	const struct sock_filter *filter;
	uint16_t filter_count;
	/* Before the first reference is opened: libraries and memory. 0 or -errno, said by it. May be
	 * NULL. */
	int (*begin)(struct run *run);
	/* At the end of the first half: limits of the file system. Likewise. */
	int (*prepare)(struct run *run);
	/* At the end. May be NULL. */
	void (*finish)(struct run *run);
};

/* The one that this program is. */
extern const struct secrets_program secrets_program;
