#pragma once
/*
 * What the machine says of itself, in references: the identity unit (units/identity.h) has fetched it,
 * as any unit fetches what it needs, and its values stand for ${NAME}. They are no secrets, but a
 * stranger's words: each is one line of text, is put in once and not looked at again, and what comes of
 * it must still be a reference of its kind.
 */
#include "lib/str.h"

struct manager;

/* The reference of the plan's secret as it is to be fetched: into the memory of out, or the plan's own.
 * NULL when there is none; then why says it. */
const char *identity_fill(const struct manager *manager, uint32_t secret, struct strbuf *out,
			  struct strbuf *why);

/* The identity unit has failed for good: which of its variables could not be had, and who needs them. */
void identity_explain(const struct manager *manager);

/* Whether all references of the unit can be had. 0, or the exit status 78; then it was said. */
int identity_check(struct manager *manager, uint32_t unit);
