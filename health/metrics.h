#pragma once
/*
 * /metrics in the Prometheus text format 0.0.4. Where node_exporter or systemd_exporter has a name
 * for a thing, that name is used with its labels, so that people's dashboards go on working; what
 * they do not know is holdfast_…
 */
#include <stddef.h>

#include "health/snapshot.h"
#include "lib/str.h"

/* Bytes that always hold the text for this plan. */
size_t metrics_bound(const struct snapshot *snapshot);

void metrics_render(struct snapshot *snapshot, struct strbuf *buf);
