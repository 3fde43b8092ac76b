#pragma once
/*
 * Certificates in a secret's value: when the first of them ends, so that status and metrics can say
 * it before a service fails. Nothing else of them is looked at, no signature either.
 *
 * A value is a stranger's bytes. PEM (RFC 7468) is decoded byte by byte while the DER within (X.690,
 * RFC 5280 section 4.1) is walked to its dates, so nothing is copied and every length is held
 * against the end of what it stands in. A block that is not as it must be counts for nothing.
 */
#include <stddef.h>
#include <stdint.h>

/* Unix seconds; 0: the value has no PEM certificate that can be read. Of the length's order. */
int64_t certificate_expiry(const char *value, size_t length);
