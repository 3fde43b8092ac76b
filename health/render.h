#pragma once
/*
 * The bodies that hold more than a word: /health in application/health+json, and the list of
 * checks that Kubernetes' endpoints print with ?verbose.
 */
#include <stdbool.h>
#include <stddef.h>

#include "health/http.h"
#include "health/snapshot.h"
#include "lib/str.h"

/* Bytes that always hold the body for this plan. */
size_t render_health_bound(const struct snapshot *snapshot);
size_t render_checks_bound(const struct snapshot *snapshot);

void render_health(struct snapshot *snapshot, struct strbuf *buf);

/*
 * The three probes. Each adds "[+]name ok" or "[-]name failed" lines to buf (which may be NULL when
 * only the result is asked for), leaves out what the query excludes, and returns whether the rest
 * holds. Units are named only with_units; they count in any case.
 */
bool render_readyz(struct snapshot *snapshot, const struct http_request *request, bool with_units,
		   struct strbuf *buf);
bool render_startupz(struct snapshot *snapshot, const struct http_request *request,
		     struct strbuf *buf);
bool render_livez(bool init_answered, bool supervisor_answered, const struct http_request *request,
		  struct strbuf *buf);
