#include "health/answer.h"

#include <string.h>

#include "health/metrics.h"
#include "health/render.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/str.h"

#define WRITE_TIMEOUT_US (5 * USEC_PER_SEC)
#define REQUESTS_MAX	 1000 /* a connection */

int site_init(struct site *site)
{
	int r = document_init(&site->health, render_health_bound(&site->snapshot));

	if (r == 0)
		r = document_init(&site->metrics, metrics_bound(&site->snapshot));
	return r == 0 ? document_init(&site->checks, render_checks_bound(&site->snapshot)) : r;
}

/* ---- layout */

struct answer {
	int status;
	const char *type;
	const char *body;
	size_t length;
	struct rendering *rendering;
};

static const char text_type[] = "text/plain; charset=utf-8";

static const char *status_line(int status)
{
	static const struct {
		int status;
		const char *line;
	} lines[] = {
		{200, "HTTP/1.1 200 OK\r\n"},
		{503, "HTTP/1.1 503 Service Unavailable\r\n"},
		{400, "HTTP/1.1 400 Bad Request\r\n"},
		{404, "HTTP/1.1 404 Not Found\r\n"},
		{405, "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n"},
		{413, "HTTP/1.1 413 Content Too Large\r\n"},
		{414, "HTTP/1.1 414 URI Too Long\r\n"},
		{431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
		{505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		if (lines[i].status == status)
			return lines[i].line;
	}
	return "HTTP/1.1 500 Internal Server Error\r\n";
}

/* printf would be a tenth of the whole cost of an answer. */
static void add_number(struct strbuf *buf, size_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	strbuf_add(buf, digits + at, sizeof(digits) - at);
}

/* Lays the answer out; connection_send sends it. */
static void respond(struct connection *connection, const struct answer *answer)
{
	struct strbuf head;

	strbuf_init(&head, connection->head, sizeof(connection->head));
	strbuf_adds(&head, status_line(answer->status));
	strbuf_adds(&head, "Content-Type: ");
	strbuf_adds(&head, answer->type);
	strbuf_adds(&head, "\r\nContent-Length: ");
	add_number(&head, answer->length);
	strbuf_adds(&head, "\r\nCache-Control: no-store\r\nConnection: ");
	strbuf_adds(&head, connection->keep_alive ? "keep-alive\r\n\r\n" : "close\r\n\r\n");
	connection->head_length = head.length;
	connection->body = answer->body;
	connection->body_length = connection->request.method == HTTP_HEAD ? 0 : answer->length;
	connection->sent = 0;
	connection->rendering = answer->rendering;
	if (connection->rendering)
		connection->rendering->users++;
	connection_set_state(connection, CONNECTION_WRITING);
	connection_set_timeout(connection, WRITE_TIMEOUT_US);
}

static void respond_text(struct connection *connection, int status, const char *body)
{
	respond(connection,
		&(struct answer){
			.status = status, .type = text_type, .body = body, .length = strlen(body)});
}

static void respond_rendering(struct connection *connection, int status, const char *type,
			      struct rendering *rendering)
{
	/* The bounds say that this cannot be; a cut document would be a lie. */
	if (rendering->buf.is_cut) {
		respond_text(connection, 500, "the answer outgrew its bound\n");
		return;
	}
	respond(connection, &(struct answer){.status = status,
					     .type = type,
					     .body = rendering->buf.data,
					     .length = rendering->buf.length,
					     .rendering = rendering});
}

/* An emptied buffer. Who still sends from it has been reading for two renderings. */
static struct strbuf *begin(struct document *document)
{
	struct rendering *rendering = document_spare(document);

	for (size_t i = 0; rendering->users > 0 && i < CONNECTIONS_MAX; i++) {
		if (connection_at(i)->rendering == rendering)
			connection_close(connection_at(i));
	}
	strbuf_reset(&rendering->buf);
	return &rendering->buf;
}

static struct rendering *published(struct document *document, const struct snapshot_key *key)
{
	document_publish(document, key);
	return &document->renderings[document->current];
}

void answer_refusal(struct connection *connection, int status, const char *reason)
{
	connection->keep_alive = false;
	connection->must_linger = true;
	respond_text(connection, status, reason);
}

/* ---- endpoints */

static bool may_see_details(const struct site *site, const struct connection *connection)
{
	uint32_t detail = site->snapshot.plan.header->health_detail;

	return detail == DETAIL_ALL || (detail == DETAIL_LOOPBACK && connection->is_loopback);
}

static void serve_health(struct site *site, struct connection *connection)
{
	static const char type[] = "application/health+json";
	static const char *const brief[HEALTH_STATUS_COUNT] = {
		"{\"status\":\"pass\"}\n",
		"{\"status\":\"warn\"}\n",
		"{\"status\":\"fail\"}\n",
	};
	enum health_status status = snapshot_verdict(&site->snapshot)->status;
	int code = status == HEALTH_FAIL ? 503 : 200;

	if (!may_see_details(site, connection)) {
		respond(connection, &(struct answer){.status = code,
						     .type = type,
						     .body = brief[status],
						     .length = strlen(brief[status])});
		return;
	}
	/* How much was logged does not show here. */
	struct snapshot_key key = snapshot_key(&site->snapshot);
	key.log_seq = key.log_emitted = 0;
	struct rendering *rendering = document_current(&site->health, &key);
	if (!rendering) {
		render_health(&site->snapshot, begin(&site->health));
		rendering = published(&site->health, &key);
	}
	respond_rendering(connection, code, type, rendering);
}

static void serve_metrics(struct site *site, struct connection *connection)
{
	struct snapshot_key key = snapshot_key(&site->snapshot);
	struct rendering *rendering = document_current(&site->metrics, &key);

	if (!rendering) {
		metrics_render(&site->snapshot, begin(&site->metrics));
		rendering = published(&site->metrics, &key);
	}
	respond_rendering(connection, 200, "text/plain; version=0.0.4; charset=utf-8", rendering);
}

/* A probe that passes says ok, or with ?verbose its list; one that fails always gives the list. */
static void respond_checks(struct site *site, struct connection *connection, bool is_ok)
{
	if (is_ok && !http_query_has(&connection->request, "verbose"))
		respond_text(connection, 200, "ok\n");
	else
		respond_rendering(connection, is_ok ? 200 : 503, text_type,
				  published(&site->checks, NULL));
}

static void serve_readyz(struct site *site, struct connection *connection)
{
	if (connection->request.query_length == 0 && snapshot_is_ready(&site->snapshot)) {
		respond_text(connection, 200, "ok\n");
		return;
	}
	bool is_ok = render_readyz(&site->snapshot, &connection->request,
				   may_see_details(site, connection), begin(&site->checks));
	respond_checks(site, connection, is_ok);
}

static void serve_startupz(struct site *site, struct connection *connection)
{
	bool is_ok = render_startupz(&site->snapshot, &connection->request, begin(&site->checks));

	respond_checks(site, connection, is_ok);
}

static void serve_livez(struct site *site, struct connection *connection)
{
	live_ask(&site->live, &connection->question);
	connection_set_state(connection, CONNECTION_WAITING);
	connection_set_deadline(connection, connection->question.deadline_us);
}

void answer_livez(struct site *site, struct connection *connection)
{
	bool is_ok = render_livez(connection->question.init_answered,
				  connection->question.supervisor_answered, &connection->request,
				  begin(&site->checks));

	respond_checks(site, connection, is_ok);
}

void answer_request(struct site *site, struct connection *connection)
{
	static const struct {
		const char *path;
		void (*serve)(struct site *site, struct connection *connection);
	} routes[] = {
		{"/livez", serve_livez},     {"/readyz", serve_readyz},
		{"/health", serve_health},   {"/startupz", serve_startupz},
		{"/metrics", serve_metrics},
	};
	const struct http_request *request = &connection->request;

	connection->keep_alive = request->keep_alive && !request->has_body &&
				 ++connection->n_requests < REQUESTS_MAX;
	connection->must_linger = request->has_body;
	if (request->method == HTTP_OTHER) {
		respond_text(connection, 405, "GET or HEAD was expected\n");
		return;
	}
	if (request->has_body) {
		respond_text(connection, 413, "a request without a body was expected\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
		if (http_path_is(request, routes[i].path)) {
			routes[i].serve(site, connection);
			return;
		}
	}
	respond_text(connection, 404,
		     "/health, /livez, /readyz, /startupz or /metrics was expected\n");
}
