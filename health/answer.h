#pragma once
/*
 * What the HTTP server answers: each endpoint's document, laid out in the connection that asked. Nothing
 * from a request ever stands in an answer.
 */
#include "health/connection.h"
#include "health/document.h"
#include "health/live.h"
#include "health/snapshot.h"

/* What is answered from: what the instance shows, and what was rendered of it. */
struct site {
	struct snapshot snapshot;
	struct live live;
	struct document health, metrics, checks;
};

/* The documents' memory; snapshot is set. 0 or -errno. */
int site_init(struct site *site);

/* To the request that was read (connection_parse). The state is CONNECTION_WRITING behind this, or
 * CONNECTION_WAITING. */
void answer_request(struct site *site, struct connection *connection);
/* To one in CONNECTION_WAITING, whose question is settled. */
void answer_livez(struct site *site, struct connection *connection);
/* Nothing more of this connection can be understood: it is told so, and heard out. status: of HTTP;
 * reason: a constant. */
void answer_refusal(struct connection *connection, int status, const char *reason);
