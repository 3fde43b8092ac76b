#pragma once
/*
 * What remotebed and secretsbed share: a secrets helper is started as PID 1 and the supervisor would,
 * from a store with this process's own environment in it. What fails ends the process with 99.
 */
#include <stdnoreturn.h>

#include "lib/secretrequest.h"
#include "lib/store.h"
#include "lib/str.h"

noreturn void helperbed_die(const char *what);
int helperbed_memory(const char *name);
struct store_table *helperbed_store(void);

/* An empty request into *ret_buf, whose memory is never given back. */
void helperbed_begin(const struct secretrequest_head *head, struct strbuf *ret_buf);
/* The request as a file, which the caller owns. */
int helperbed_end(struct strbuf *buf);

noreturn void helperbed_exec(const char *program, enum role role, const struct store_table *store,
			     int input, int output);
