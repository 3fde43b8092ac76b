#pragma once
/*
 * [Identity] of holdfast.conf: variables for references that the machine says, not the image. What
 * the kernel's command line says is read here, on a host. What the metadata service of EC2 says can
 * only be asked for once there is a network, which a unit may bring up: so that stays in the plan's
 * references as it was written, and a unit of our own asks, as any unit fetches what it needs. Units
 * with such references require it; all others do not wait.
 */
#include "units/directive.h"

/* A key of the section. */
void identity_apply(const struct parse *parse);

/* The value of the variable whose name has length bytes: "" and *ret_is_pending when it has still to
 * be asked for; NULL when the section has none, or nothing was found under it. */
const char *identity_find(struct units *units, const char *name, size_t length,
			  bool *ret_is_pending);

/* That unit, when references need one: once all others are complete but for their order. */
void identity_add_unit(struct units *units);
