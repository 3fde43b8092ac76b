#pragma once
/*
 * What the board says of each secret, for status and the dump: names, kinds of sources, versions and
 * times; there is no value on the board.
 */
#include "ctl/instance.h"
#include "lib/json.h"

/* The members that tell how it is: state, version, fetched, expires, lease_s. secret: its index. */
void secrets_add_state(const struct instance *instance, uint32_t unit, uint32_t secret,
		       struct strbuf *line);

/* status: a line for each secret of the unit, with an empty one before the very first. */
void secrets_print(const struct instance *instance, uint32_t unit, bool *is_first);
/* status --json: elements of an array, a line each. */
void secrets_json(const struct instance *instance, uint32_t unit, bool *is_first);
