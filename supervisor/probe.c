#include "supervisor/probe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/str.h"
#include "lib/sys.h"
#include "supervisor/manager.h"
#include "supervisor/spawn.h"
#include "supervisor/transition.h"
#include "supervisor/work.h"

#define REQUEST_MAX 512
#define ANSWER_MAX  16 /* "HTTP/1.1 200 " is all that is read */
#define WHY_MAX	    64

enum stage { STAGE_OFF, STAGE_WAIT, STAGE_CONNECT, STAGE_ANSWER, STAGE_PROCESS };

struct probe {
	uint32_t unit;
	enum probe_kind kind;
	enum stage stage;
	int fd;
	uint64_t due_us; /* WAIT: when to ask; else: when the answer is overdue */
	uint32_t failures, successes;
	char answer[ANSWER_MAX];
	size_t length;
	char why[WHY_MAX]; /* the last answer was none, or not good */
};

struct probes {
	uint32_t count;
	struct probe items[];
};

static const struct plan_probe *plan_of(const struct manager *m, const struct probe *probe)
{
	return plan_unit_probe(&m->plan, plan_unit(&m->plan, probe->unit), probe->kind);
}

static const char *const kind_names[PROBE_KIND_COUNT] = {[PROBE_STARTUP] = "startup",
							 [PROBE_LIVENESS] = "liveness",
							 [PROBE_READINESS] = "readiness"};

static bool has_probe(const struct manager *m, uint32_t unit, enum probe_kind kind)
{
	return plan_unit_probe(&m->plan, plan_unit(&m->plan, unit), kind)->type != PROBE_NONE;
}

int probe_init(struct manager *m)
{
	uint32_t count = 0;

	for (uint32_t unit = 0; unit < m->n_units; unit++)
		count += plan_unit(&m->plan, unit)->probes.count;
	m->probes = calloc(1, sizeof(*m->probes) + count * sizeof(struct probe));
	if (!m->probes)
		return -ENOMEM;
	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		for (enum probe_kind kind = 0; kind < PROBE_KIND_COUNT; kind++) {
			if (has_probe(m, unit, kind) && m->probes->count < count)
				m->probes->items[m->probes->count++] =
					(struct probe){.unit = unit, .kind = kind, .fd = -EBADF};
		}
	}
	return 0;
}

bool probe_holds_startup(const struct manager *m, uint32_t unit)
{
	return has_probe(m, unit, PROBE_STARTUP) &&
	       !(board_peek_unit(&m->board, unit)->flags & BOARD_UNIT_STARTED);
}

/* ---- what an answer means */

static void stop_asking(struct manager *m, struct probe *probe)
{
	if (probe->stage == STAGE_PROCESS)
		(void)kill(manager_pid(m, probe->unit, SLOT_SPARE), SIGKILL);
	probe->fd = fd_close(probe->fd);
	probe->length = 0;
	probe->stage = STAGE_OFF;
}

/* Behind the probe's name: what was asked, and what came of it. */
static void emit_failure(struct manager *m, const struct probe *probe, enum event_level level,
			 const char *what)
{
	const char *target = plan_string(&m->plan, plan_of(m, probe)->target);

	event_with_string("probe", kind_names[probe->kind]);
	if (*target)
		event_with_string("target", target);
	event_with_string("why", probe->why);
	event_emit(level, "probe-failed", plan_unit_name(&m->plan, probe->unit),
		   "the %s probe %s: %s%s%s", kind_names[probe->kind], what, target,
		   *target ? ": " : "", probe->why);
}

static void set_flags(struct manager *m, struct probe *probe, uint32_t set, uint32_t clear)
{
	struct board_unit record = *board_peek_unit(&m->board, probe->unit);
	uint32_t flags = (record.flags | set) & ~clear;

	if (flags == record.flags)
		return;
	record.flags = flags;
	manager_publish(m, probe->unit, &record);
	if (set) {
		event_with_string("probe", kind_names[probe->kind]);
		event_emit(EVENT_INFO, "probe-passed", plan_unit_name(&m->plan, probe->unit),
			   "the %s probe passes", kind_names[probe->kind]);
	}
	manager_mark_around(m, probe->unit);
}

static bool has_readiness(const struct manager *m, uint32_t unit)
{
	return has_probe(m, unit, PROBE_READINESS);
}

static void has_passed(struct manager *m, struct probe *probe)
{
	if (probe->kind == PROBE_READINESS)
		set_flags(m, probe, BOARD_UNIT_READY, 0);
	else if (probe->kind == PROBE_STARTUP)
		set_flags(m, probe,
			  BOARD_UNIT_STARTED |
				  (has_readiness(m, probe->unit) ? 0 : BOARD_UNIT_READY),
			  0);
}

/* Told once, also of a service that never was ready. */
static void is_not_ready(struct manager *m, struct probe *probe)
{
	bool was_ready = board_peek_unit(&m->board, probe->unit)->flags & BOARD_UNIT_READY;

	if (was_ready || probe->failures == plan_of(m, probe)->failure_threshold)
		emit_failure(m, probe, EVENT_WARNING, "fails");
	set_flags(m, probe, 0, BOARD_UNIT_READY);
}

static void has_failed(struct manager *m, struct probe *probe)
{
	struct board_unit record = *board_peek_unit(&m->board, probe->unit);
	char what[64];

	if (probe->kind == PROBE_READINESS) {
		is_not_ready(m, probe);
		return;
	}
	(void)snprintf(what, sizeof(what), "failed %u time%s, so the service has failed",
		       probe->failures, probe->failures == 1 ? "" : "s");
	emit_failure(m, probe, EVENT_ERROR, what);
	work_fail(&record, RESULT_PROBE);
	transition_advance(m, probe->unit, &record, EVENT_UNIT_WATCHDOG);
}

/* Counts the answer and waits for the next turn. */
static void take_answer(struct manager *m, struct probe *probe, bool is_good)
{
	const struct plan_probe *plan = plan_of(m, probe);

	stop_asking(m, probe);
	probe->stage = STAGE_WAIT;
	probe->due_us = clock_add_us(clock_now_us(), plan->period_us);
	probe->successes = is_good ? probe->successes + 1 : 0;
	probe->failures = is_good ? 0 : probe->failures + 1;
	if (is_good && probe->successes >= plan->success_threshold)
		has_passed(m, probe);
	else if (!is_good && probe->failures >= plan->failure_threshold)
		has_failed(m, probe);
	if (probe->kind == PROBE_STARTUP &&
	    (board_peek_unit(&m->board, probe->unit)->flags & BOARD_UNIT_STARTED)) {
		probe->stage = STAGE_OFF;
		probe_update(m, probe->unit);
	}
}

__attribute__((format(printf, 3, 4))) static void
take_failure(struct manager *m, struct probe *probe, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(probe->why, sizeof(probe->why), format, args);
	va_end(args);
	take_answer(m, probe, false);
}

/* ---- asking */

struct target {
	struct sockaddr_storage address;
	socklen_t length;
	const char *path; /* HTTP alone */
	char host[128];	  /* ADDRESS:PORT as it was written */
};

/* The compiler checked the form: http://ADDRESS:PORT/PATH or ADDRESS:PORT, IPv6 in brackets. */
static bool parse_target(const char *text, struct target *ret_target)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&ret_target->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret_target->address;
	uint64_t port;

	*ret_target = (struct target){.path = "/"};
	if (str_starts(text, "http://"))
		text += strlen("http://");
	size_t length = strcspn(text, "/");
	if (length >= sizeof(ret_target->host))
		return false;
	memcpy(ret_target->host, text, length);
	if (text[length])
		ret_target->path = text + length;
	char address[sizeof(ret_target->host)];
	memcpy(address, ret_target->host, sizeof(address));
	char *colon = strrchr(address, ':');
	if (!colon || str_parse_u64(colon + 1, UINT16_MAX, &port) < 0)
		return false;
	*colon = '\0';
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		ret_target->length = sizeof(*v4);
		return true;
	}
	if (address[0] != '[' || colon[-1] != ']')
		return false;
	colon[-1] = '\0';
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	ret_target->length = sizeof(*v6);
	return inet_pton(AF_INET6, address + 1, &v6->sin6_addr) == 1;
}

static bool poll_for(struct manager *m, const struct probe *probe, int operation, uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = PROBE_SOCKET | (uint64_t)(probe - m->probes->items),
	};

	return epoll_ctl(m->poll_fd, operation, probe->fd, &event) == 0;
}

static bool ask_by_socket(struct manager *m, struct probe *probe)
{
	struct target target;

	if (!parse_target(plan_string(&m->plan, plan_of(m, probe)->target), &target))
		return false;
	probe->fd = socket(target.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (probe->fd < 0)
		return false;
	int r = connect(probe->fd, (struct sockaddr *)&target.address, target.length);
	if (r < 0 && errno != EINPROGRESS)
		return false;
	probe->stage = STAGE_CONNECT;
	return poll_for(m, probe, EPOLL_CTL_ADD, EPOLLOUT);
}

static bool ask_by_process(struct manager *m, struct probe *probe)
{
	struct spawn_request request = {
		.unit = probe->unit,
		.slot = SLOT_SPARE,
		.exec = plan_exec(&m->plan, plan_of(m, probe)->exec.first),
		.phase = EXEC_START,
		.run = board_peek_unit(&m->board, probe->unit)->started_us,
		.main_pid = manager_pid(m, probe->unit, SLOT_MAIN),
		.secret_fd = manager_secret_fd(m, probe->unit),
	};

	m->runtime[probe->unit].pidfd[SLOT_SPARE] =
		fd_close(m->runtime[probe->unit].pidfd[SLOT_SPARE]);
	probe->stage = STAGE_PROCESS;
	return spawn_process(&m->spawner, &request, &m->runtime[probe->unit].pidfd[SLOT_SPARE]) ==
	       0;
}

static void ask(struct manager *m, struct probe *probe)
{
	const struct plan_probe *plan = plan_of(m, probe);

	/* One process at a time; the other probe's turn comes when it has ended. */
	if (plan->type == PROBE_EXEC && manager_pid(m, probe->unit, SLOT_SPARE) > 0) {
		probe->due_us = clock_add_us(clock_now_us(), plan->period_us);
		return;
	}
	probe->due_us = clock_add_us(clock_now_us(), plan->timeout_us);
	errno = 0;
	if (!(plan->type == PROBE_EXEC ? ask_by_process(m, probe) : ask_by_socket(m, probe)))
		take_failure(m, probe, "%s", errno ? strerror(errno) : "it could not be asked");
}

/* ---- answers */

static void send_request(struct manager *m, struct probe *probe)
{
	char request[REQUEST_MAX];
	struct target target;
	struct strbuf buf;

	if (!parse_target(plan_string(&m->plan, plan_of(m, probe)->target), &target)) {
		take_failure(m, probe, "it could not be asked");
		return;
	}
	strbuf_init(&buf, request, sizeof(request));
	strbuf_addf(&buf,
		    "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: holdfast-probe/" HOLDFAST_VERSION
		    "\r\nAccept: */*\r\nConnection: close\r\n\r\n",
		    target.path, target.host);
	probe->stage = STAGE_ANSWER;
	if (buf.is_cut ||
	    send(probe->fd, buf.data, buf.length, MSG_NOSIGNAL) != (ssize_t)buf.length ||
	    !poll_for(m, probe, EPOLL_CTL_MOD, EPOLLIN))
		take_failure(m, probe, "the question could not be sent");
}

/* 0: it is none. */
static int status_of(const char *answer, size_t length)
{
	int status = 0;

	if (length < 12 || memcmp(answer, "HTTP/1.", 7) != 0 || answer[8] != ' ')
		return 0;
	for (int i = 9; i < 12; i++) {
		if (answer[i] < '0' || answer[i] > '9')
			return 0;
		status = status * 10 + (answer[i] - '0');
	}
	return status;
}

/* Kubernetes' rule: 200 to 399 is good. */
static void judge_answer(struct manager *m, struct probe *probe)
{
	int status = status_of(probe->answer, probe->length);

	if (status >= 200 && status < 400)
		take_answer(m, probe, true);
	else if (status > 0)
		take_failure(m, probe, "it answered %d", status);
	else
		take_failure(m, probe, "%s",
			     probe->length ? "what it answered is no HTTP"
					   : "it hung up without an answer");
}

static void read_answer(struct manager *m, struct probe *probe)
{
	ssize_t n = recv(probe->fd, probe->answer + probe->length,
			 sizeof(probe->answer) - probe->length, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		probe->length += (size_t)n;
	if (n <= 0 || probe->length >= 12)
		judge_answer(m, probe);
}

static void finish_connect(struct manager *m, struct probe *probe)
{
	int error = 0;
	socklen_t length = sizeof(error);

	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
		take_failure(m, probe, "%s", strerror(error ? error : errno));
	else if (plan_of(m, probe)->type == PROBE_TCP)
		take_answer(m, probe, true);
	else
		send_request(m, probe);
}

void probe_ready(struct manager *m, uint64_t data)
{
	uint64_t i = data & UINT32_MAX;

	if (i >= m->probes->count)
		return;
	struct probe *probe = &m->probes->items[i];
	if (probe->stage == STAGE_CONNECT)
		finish_connect(m, probe);
	else if (probe->stage == STAGE_ANSWER)
		read_answer(m, probe);
}

void probe_note_exit(struct manager *m, const struct journal_entry *entry)
{
	for (uint32_t i = 0; i < m->probes->count; i++) {
		struct probe *probe = &m->probes->items[i];
		if (probe->unit != entry->unit || probe->stage != STAGE_PROCESS)
			continue;
		/* Gone already: there is nothing to kill any more. */
		probe->stage = STAGE_WAIT;
		if (entry->code == CLD_EXITED && entry->status == 0)
			take_answer(m, probe, true);
		else
			take_failure(m, probe, "it ended with %s %d",
				     entry->code == CLD_EXITED ? "status" : "signal",
				     entry->status);
	}
}

/* ---- turns */

static void begin(struct manager *m, struct probe *probe)
{
	const struct board_unit *record = board_peek_unit(&m->board, probe->unit);

	probe->failures = probe->successes = 0;
	probe->stage = STAGE_WAIT;
	probe->due_us = MAX(clock_add_us(record->active_us, plan_of(m, probe)->initial_delay_us),
			    clock_now_us());
}

static bool is_wanted(const struct manager *m, const struct probe *probe)
{
	enum unit_state state = (enum unit_state)board_peek_unit(&m->board, probe->unit)->state;
	bool is_starting = probe_holds_startup(m, probe->unit);

	if (state != UNIT_RUNNING)
		return false;
	return probe->kind == PROBE_STARTUP ? is_starting : !is_starting;
}

void probe_update(struct manager *m, uint32_t unit)
{
	for (uint32_t i = 0; i < m->probes->count; i++) {
		struct probe *probe = &m->probes->items[i];
		if (probe->unit != unit)
			continue;
		bool is_on = is_wanted(m, probe);
		if (is_on && probe->stage == STAGE_OFF)
			begin(m, probe);
		else if (!is_on && probe->stage != STAGE_OFF)
			stop_asking(m, probe);
	}
}

void probe_check_time(struct manager *m, uint64_t now)
{
	for (uint32_t i = 0; i < m->probes->count; i++) {
		struct probe *probe = &m->probes->items[i];
		if (probe->stage == STAGE_OFF || probe->due_us > now)
			continue;
		if (probe->stage == STAGE_WAIT)
			ask(m, probe);
		else
			take_failure(m, probe, "no answer within TimeoutSec= (%.3g s)",
				     (double)plan_of(m, probe)->timeout_us / USEC_PER_SEC);
	}
}

uint64_t probe_next_due(const struct manager *m)
{
	uint64_t due = USEC_INFINITY;

	for (uint32_t i = 0; i < m->probes->count; i++) {
		if (m->probes->items[i].stage != STAGE_OFF)
			due = MIN(due, m->probes->items[i].due_us);
	}
	return due;
}
