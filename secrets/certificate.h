#pragma once
/*
 * Certificates in a secret's value: when the first of them ends, so that status and metrics can say
 * it before a service fails. Nothing else of them is looked at.
 */
#include <stddef.h>
#include <stdint.h>

/* Unix seconds; 0: the value has no PEM certificate that can be read. */
int64_t certificate_expiry(const char *value, size_t length);
