#pragma once
/*
 * What to write where a runtime is to give a mount.
 */
#include <stdint.h>

#include "lib/str.h"

/* The lines of a Kubernetes pod and of docker run that mount memory at path. */
void scratch_explain(struct strbuf *buf, const char *path, uint64_t size_bytes, unsigned mode);
