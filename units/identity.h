#pragma once
/*
 * [Identity] of holdfast.conf: variables for references that the machine says, not the image. What
 * the kernel's command line says is read here, on a host; what the metadata service of EC2 says
 * boot has to ask for, so that the first reading of the units ends with a list of what they need
 * (units_needed), and the second is given the values (units_request.identity).
 */
#include "units/directive.h"

/* A key of the section. */
void identity_apply(const struct parse *parse);

/* The value of the variable whose name has length bytes: "" and *ret_is_pending when it has still to
 * be asked for; NULL when the section has none, or nothing was found under it. */
const char *identity_find(struct units *units, const char *name, size_t length,
			  bool *ret_is_pending);
