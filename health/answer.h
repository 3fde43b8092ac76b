#pragma once
/*
 * What the HTTP server answers: each endpoint's document, laid out in the connection that asked. Nothing
 * from a request ever stands in an answer.
 */
#include "health/connection.h"
#include "health/server.h"

/* To the request that was read (connection_parse). The state is CONNECTION_WRITING behind this, or
 * CONNECTION_WAITING. */
void answer_request(struct server *server, struct connection *connection);
/* To one in CONNECTION_WAITING, whose question is settled. */
void answer_livez(struct server *server, struct connection *connection);
/* Nothing more of this connection can be understood: it is told so, and heard out. status: of HTTP;
 * reason: a constant. */
void answer_refusal(struct connection *connection, int status, const char *reason);
