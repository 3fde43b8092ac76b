#pragma once
/*
 * Where a service of AWS is: AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, or what the partition of
 * the region says, with AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT.
 */
#include <stdbool.h>
#include <stddef.h>

#include "secrets/run.h"

struct endpoint_service {
	const char *name;    /* in the host and in signatures: ssm */
	const char *setting; /* AWS_ENDPOINT_URL_SSM */
};
extern const struct endpoint_service endpoint_ssm, endpoint_secretsmanager, endpoint_sts;

/* The URL, without a slash at its end. False when it does not fit. */
bool endpoint_url(const struct run *run, const struct endpoint_service *service, const char *region,
		  char *url, size_t size);
