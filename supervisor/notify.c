#include "supervisor/notify.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/crash.h"
#include "lib/event.h"
#include "lib/scrub.h"
#include "lib/str.h"
#include "lib/sys.h"
#include "supervisor/exits.h"
#include "supervisor/transition.h"

#define MESSAGE_MAX   4096
#define DRAIN_MAX     256 /* datagrams a turn, so that a flood cannot keep us from the rest */
#define HELD_UP_MAX   8	  /* of them such that held us up */
#define HELD_UP_US    (2 * USEC_PER_MSEC)
#define EXTEND_MAX_US (3600 * USEC_PER_SEC)

/* ---- who sent it */

static bool find_unit(const struct manager *m, pid_t pid, uint32_t *ret_unit, uint32_t *ret_slot)
{
	if (pid <= 0)
		return false;
	if (board_find_pid(&m->board, pid, ret_unit, ret_slot))
		return true;
	/* A child of the service: it is in the session that the service's first process leads. */
	pid_t session = getsid(pid);
	if (session <= 0 || session == pid)
		return false;
	if (board_find_pid(&m->board, session, ret_unit, ret_slot)) {
		*ret_slot = SLOT_COUNT;
		return true;
	}
	for (uint32_t unit = 0; unit < m->n_units; unit++) {
		if (board_peek_unit(&m->board, unit)->session == session) {
			*ret_unit = unit;
			*ret_slot = SLOT_COUNT;
			return true;
		}
	}
	return false;
}

static bool may_speak(const struct manager *m, uint32_t unit, uint32_t slot)
{
	switch ((enum notify_access)plan_unit(&m->plan, unit)->notify_access) {
	case NOTIFY_MAIN: return slot == SLOT_MAIN;
	case NOTIFY_EXEC: return slot == SLOT_MAIN || slot == SLOT_CONTROL;
	case NOTIFY_ALL: return true;
	default: return false;
	}
}

/* ---- what it says */

static void on_ready(struct manager *m, uint32_t unit, struct board_unit *record, const char *value)
{
	if (!str_equal(value, "1"))
		return;
	record->flags &= ~BOARD_UNIT_RELOADING;
	manager_publish(m, unit, record);
	if (record->state == UNIT_START && plan_unit(&m->plan, unit)->type == SERVICE_NOTIFY)
		transition_advance(m, unit, record, EVENT_UNIT_DONE);
}

static void on_stopping(struct manager *m, uint32_t unit, struct board_unit *record,
			const char *value)
{
	if (!str_equal(value, "1"))
		return;
	record->flags |= BOARD_UNIT_STOPPING;
	record->flags &= ~BOARD_UNIT_READY;
	manager_publish(m, unit, record);
}

static void on_reloading(struct manager *m, uint32_t unit, struct board_unit *record,
			 const char *value)
{
	if (!str_equal(value, "1"))
		return;
	record->flags |= BOARD_UNIT_RELOADING;
	manager_publish(m, unit, record);
}

static void on_watchdog(struct manager *m, uint32_t unit, struct board_unit *record,
			const char *value)
{
	if (record->watchdog_us == USEC_INFINITY)
		return;
	if (str_equal(value, "1"))
		record->watchdog_us =
			clock_add_us(clock_now_us(), plan_unit(&m->plan, unit)->watchdog_us);
	else if (str_equal(value, "trigger"))
		record->watchdog_us = 0;
	manager_publish(m, unit, record);
}

/* Without values of secrets: it stands where anybody may read it. */
static void hide_secrets(struct manager *m, const char *value, char *text)
{
	static struct scrubber scrubber;
	size_t length = strlen(value);
	bool ignored;

	if (scrubber.table != manager_fingerprints(m))
		scrub_init(&scrubber, manager_fingerprints(m));
	if (scrub_find(&scrubber, value, length, 0))
		length = scrub_write(&scrubber, length, false, false, text, &ignored);
	else
		memcpy(text, value, length);
	text[length] = '\0';
}

/* Text for people, from a service: what is not printable ASCII or UTF-8 must not reach a terminal. */
static void on_status(struct manager *m, uint32_t unit, struct board_unit *record,
		      const char *value)
{
	char whole[MESSAGE_MAX + 1], text[BOARD_TEXT_MAX];

	(void)record;
	hide_secrets(m, value, whole);
	(void)str_copy(text, sizeof(text), whole);
	for (char *c = text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	board_write_text(&m->board, unit, text);
}

static void on_main_pid(struct manager *m, uint32_t unit, struct board_unit *record,
			const char *value)
{
	uint64_t pid;

	(void)record;
	if (str_parse_u64(value, INT32_MAX, &pid) < 0 || pid <= 1)
		return;
	if (!exits_adopt_pid(m, unit, (int32_t)pid))
		event_emit(EVENT_WARNING, "main-pid-refused", plan_unit_name(&m->plan, unit),
			   "MAINPID=%s is no child of holdfast's that could be this unit's", value);
}

static void on_extend(struct manager *m, uint32_t unit, struct board_unit *record,
		      const char *value)
{
	uint64_t extend;

	if (record->deadline_us == USEC_INFINITY || record->state == UNIT_AUTO_RESTART ||
	    str_parse_u64(value, EXTEND_MAX_US, &extend) < 0)
		return;
	uint64_t deadline = MIN(clock_now_us() + extend, manager_stop_deadline(m));
	record->deadline_us = MAX(record->deadline_us, deadline);
	manager_publish(m, unit, record);
}

static const struct {
	const char *key;
	void (*apply)(struct manager *m, uint32_t unit, struct board_unit *record,
		      const char *value);
} assignments[] = {
	/* In the order in which they are applied: the pid before what depends on it, the states last. */
	{"MAINPID", on_main_pid},  {"STATUS", on_status},	{"EXTEND_TIMEOUT_USEC", on_extend},
	{"WATCHDOG", on_watchdog}, {"RELOADING", on_reloading}, {"STOPPING", on_stopping},
	{"READY", on_ready},
};

/* The value of key in the lines of text, or NULL; the line is ended in place. */
static const char *find_value(char *text, size_t length, const char *key, char *value, size_t size)
{
	size_t key_length = strlen(key);
	const char *end = text + length;

	for (const char *line = text; line < end;) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((stop ? stop : end) - line);
		if (n > key_length && line[key_length] == '=' &&
		    memcmp(line, key, key_length) == 0 && n - key_length - 1 < size) {
			memcpy(value, line + key_length + 1, n - key_length - 1);
			value[n - key_length - 1] = '\0';
			return value;
		}
		line += n + 1;
	}
	return NULL;
}

static void apply(struct manager *m, uint32_t unit, char *text, size_t length)
{
	char value[MESSAGE_MAX];

	for (size_t i = 0; i < sizeof(assignments) / sizeof(assignments[0]); i++) {
		if (!find_value(text, length, assignments[i].key, value, sizeof(value)))
			continue;
		struct board_unit record = *board_peek_unit(&m->board, unit);
		assignments[i].apply(m, unit, &record, value);
	}
}

/* ---- receiving */

/*
 * Files that come with a message (BARRIER=1, FDSTORE=1) are never taken: there is no room for them, so
 * the kernel drops them when the message is consumed. That close may be the last one, and may wait: a
 * connection with SO_LINGER and a peer that does not read does so for as long as its owner likes. It
 * waits for a signal, too, so a timer ends it, and with it all others of that message.
 */
static void wake(int signal)
{
	(void)signal;
}

static void set_timer(suseconds_t us)
{
	const struct itimerval timer = {{0, us}, {0, us}};

	(void)setitimer(ITIMER_REAL, &timer, NULL);
}

/* False when it held us up. */
static bool consume(int socket, bool has_files)
{
	static bool has_handler;
	uint64_t begin = clock_now_us();
	char byte;

	if (!has_files) {
		(void)recv(socket, &byte, 0, MSG_DONTWAIT);
		return true;
	}
	if (!has_handler) {
		const struct sigaction action = {.sa_handler = wake, .sa_flags = SA_RESTART};
		has_handler = sigaction(SIGALRM, &action, NULL) == 0;
	}
	if (has_handler)
		set_timer(HELD_UP_US);
	(void)recv(socket, &byte, 0, MSG_DONTWAIT);
	if (has_handler)
		set_timer(0);
	return clock_now_us() - begin < HELD_UP_US;
}

static pid_t sender_of(struct msghdr *message)
{
	struct ucred credentials;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = sys_cmsg_next(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
		    c->cmsg_len != CMSG_LEN(sizeof(credentials)))
			continue;
		memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
		return credentials.pid;
	}
	return 0;
}

/* At most one line a second, whatever somebody sends. */
static void refuse(pid_t pid)
{
	static uint64_t next_us;
	static uint32_t untold;
	uint64_t now = clock_now_us();

	if (now < next_us) {
		untold++;
		return;
	}
	event_with_i64("pid", pid);
	event_with_i64("untold", untold);
	event_emit(EVENT_WARNING, "notify-refused", NULL,
		   "a notification of pid %d is larger than %d bytes or no text", pid, MESSAGE_MAX);
	next_us = now + USEC_PER_SEC;
	untold = 0;
}

enum drained { DRAINED_ALL, DRAINED_ONE, DRAINED_HELD_UP };

static enum drained drain_one(struct manager *m, int socket)
{
	static union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char text[MESSAGE_MAX] = {0};
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	uint32_t unit, slot;

	ssize_t n = recvmsg(socket, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR ? DRAINED_ONE : DRAINED_ALL;
	pid_t pid = sender_of(&message);
	if (message.msg_flags & MSG_TRUNC || memchr(text, 0, (size_t)n))
		refuse(pid);
	else if (find_unit(m, pid, &unit, &slot) && may_speak(m, unit, slot))
		apply(m, unit, text, (size_t)n);
	CRASH_POINT("notify-applied");
	bool is_fast = consume(socket, message.msg_flags & MSG_CTRUNC);
	CRASH_POINT("notify-consumed");
	return is_fast ? DRAINED_ONE : DRAINED_HELD_UP;
}

void notify_drain(struct manager *m, int socket)
{
	int n_held_up = 0;

	for (int i = 0; i < DRAIN_MAX && n_held_up < HELD_UP_MAX; i++) {
		enum drained drained = drain_one(m, socket);
		if (drained == DRAINED_ALL)
			return;
		n_held_up += drained == DRAINED_HELD_UP;
	}
}
