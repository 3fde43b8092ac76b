#pragma once
/* An instance's public files for the tests of holdfastctl: five units, two protections, secrets. */
#include <stddef.h>

enum { SAMPLE_DB, SAMPLE_WEB, SAMPLE_MIGRATE, SAMPLE_EXTRA, SAMPLE_PROBED, SAMPLE_COUNT };
#define SAMPLE_SECRETS 2

/* The public plan as a block that the caller frees. */
void ctlsample_plan(void **ret_block, size_t *ret_size);
