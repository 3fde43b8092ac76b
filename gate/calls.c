/*
 * Whose process it was, when the record is read, is a question with a few answers, tried in this order:
 * the board knows its pid, or that of one of its parents; its cgroup has the unit's name, which is so of
 * all that a unit leaves behind, too. A process that is gone by then has none of these; then what it
 * executed may be what one unit alone executes, and else the event has no unit.
 */
#include "gate/calls.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "gate/audit.h"
#include "gen/gate/call-names.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "lib/str.h"

#define RECORD_MAX    4096
#define TAKEN_AT_ONCE 16 /* somebody may wait for the exec gate meanwhile */
#define PARENTS_MAX   32
#define X32_BIT	      UINT32_C(0x40000000)

#if defined(__x86_64__)
#define ARCH_NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_NATIVE AUDIT_ARCH_AARCH64
#endif

void calls_open(struct calls *calls, struct gate *gate)
{
	*calls = (struct calls){gate, store_find(gate->store, STORE_AUDIT, 0)};
}

/* ---- whose it was */

static uint32_t unit_by_name(const struct plan *plan, const char *name)
{
	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		if (str_equal(plan_unit_name(plan, i), name))
			return i;
	}
	return PLAN_NO_UNIT;
}

/* "0::/units/NAME", or further below. */
static uint32_t unit_by_cgroup(const struct gate *gate, int32_t pid)
{
	static const char head[] = "0::/units/";
	char path[32], text[1024];

	(void)snprintf(path, sizeof(path), "%" PRId32 "/cgroup", pid);
	if (io_read_file(gate->proc_fd, path, text, sizeof(text)) <= 0)
		return PLAN_NO_UNIT;
	char *name = strstr(text, head);
	if (!name)
		return PLAN_NO_UNIT;
	name += strlen(head);
	name[strcspn(name, "/\n")] = '\0';
	return unit_by_name(&gate->plan, name);
}

static uint32_t unit_by_parents(const struct gate *gate, int32_t pid)
{
	struct proc_stat stat;
	uint32_t unit, slot;

	for (int i = 0; i < PARENTS_MAX && pid > 1; i++) {
		if (board_find_pid(&gate->board, pid, &unit, &slot))
			return unit;
		if (proc_read_stat(gate->proc_fd, pid, &stat) < 0)
			break;
		pid = stat.parent;
	}
	return PLAN_NO_UNIT;
}

/* The public plan has the names of programs without their folders. */
static bool executes(const struct plan *plan, uint32_t unit, const char *name)
{
	struct plan_range range = plan_unit(plan, unit)->exec[EXEC_START];

	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		if (str_equal(str_base_name(plan_string(
				      plan, plan_list_get(plan, plan_exec(plan, i)->argv, 0))),
			      name))
			return true;
	}
	return false;
}

static uint32_t unit_by_program(const struct plan *plan, const char *exe)
{
	uint32_t found = PLAN_NO_UNIT;

	for (uint32_t i = 0; i < plan_unit_count(plan); i++) {
		if (!executes(plan, i, str_base_name(exe)))
			continue;
		if (found != PLAN_NO_UNIT)
			return PLAN_NO_UNIT;
		found = i;
	}
	return found;
}

static uint32_t find_unit(const struct gate *gate, const struct audit_refusal *refusal)
{
	uint32_t unit = unit_by_parents(gate, refusal->pid);

	if (unit == PLAN_NO_UNIT)
		unit = unit_by_cgroup(gate, refusal->pid);
	if (unit == PLAN_NO_UNIT)
		unit = unit_by_program(&gate->plan, refusal->exe);
	return unit;
}

static bool is_own(const struct gate *gate, int32_t pid)
{
	for (int role = 0; role < ROLE_COUNT; role++) {
		if (atomic_load_explicit(&gate->journal->pids[role], memory_order_relaxed) == pid)
			return true;
	}
	return false;
}

/* ---- what it was */

static void name_call(const struct audit_refusal *refusal, struct gate_call *call)
{
	/* x32 calls itself x86_64, and has a bit of its own. */
	bool is_native = refusal->arch == ARCH_NATIVE && !(refusal->number & X32_BIT);
	uint32_t number = refusal->number & ~X32_BIT;

	if (is_native && number < ARRAY_COUNT(gate_calls) && gate_calls[number].name) {
		(void)str_copy(call->name, sizeof(call->name), gate_calls[number].name);
		(void)str_copy(call->allow, sizeof(call->allow), gate_calls[number].group);
		return;
	}
	(void)snprintf(call->name, sizeof(call->name), "%s call %" PRIu32,
		       is_native ? "unknown" : "foreign", number);
	(void)str_copy(call->allow, sizeof(call->allow),
		       is_native ? "" : call_group_names[CALLS_FOREIGN]);
}

/* A filter may also let pass and tell; and what a tracer or a handler is asked is no refusal yet. */
static bool is_refusal(uint32_t action)
{
	return action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_KILL_PROCESS ||
	       action == SECCOMP_RET_KILL_THREAD || action == SECCOMP_RET_TRAP;
}

static bool is_worth_a_line(uint64_t count)
{
	while (count >= 10 && count % 10 == 0)
		count /= 10;
	return count == 1;
}

static void say(const struct gate *gate, const struct audit_refusal *refusal,
		const struct gate_call *call, uint64_t count)
{
	const char *unit =
		call->unit == PLAN_NO_UNIT ? NULL : plan_unit_name(&gate->plan, call->unit);

	event_with_string("call", call->name);
	event_with_i64("pid", refusal->pid);
	event_with_i64("uid", refusal->uid);
	event_with_string("exe", refusal->exe);
	event_with_string("name", refusal->comm);
	event_with_i64("count", (int64_t)count);
	if (*call->allow)
		event_with_string("allow", call->allow);
	event_emit(EVENT_WARNING, call->is_deadly ? "call-killed" : "call-refused", unit,
		   "%s: %s was %s the filter of system calls, %" PRIu64 " time%s so far",
		   refusal->comm, call->name, call->is_deadly ? "killed for by" : "refused by",
		   count, count == 1 ? "" : "s");
}

static void note(struct gate *gate, const struct audit_refusal *refusal)
{
	struct gate_call call = {
		.unit = is_own(gate, refusal->pid) ? PLAN_NO_UNIT : find_unit(gate, refusal),
		.is_deadly = refusal->action != SECCOMP_RET_ERRNO,
	};

	name_call(refusal, &call);
	(void)str_copy(call.program, sizeof(call.program), refusal->comm);
	uint64_t count = gateboard_note_call(gate->record, &call);
	if (is_worth_a_line(count))
		say(gate, refusal, &call, count);
}

/* ---- the socket */

static void note_lost(struct gate *gate)
{
	uint64_t before = gateboard_calls_beyond(gate->record);

	gateboard_note_lost_calls(gate->record, 1);
	if (before == 0)
		event_emit(EVENT_WARNING, "calls-lost", NULL,
			   "refused system calls came faster than they could be read: not all of "
			   "them are counted");
}

/* False when there is none. */
static bool take_one(struct calls *calls)
{
	static _Alignas(struct nlmsghdr) char buffer[RECORD_MAX];
	struct sockaddr_nl from = {0};
	socklen_t from_length = sizeof(from);
	struct audit_refusal refusal;
	struct nlmsghdr head;
	ssize_t n = recvfrom(calls->fd, buffer, sizeof(buffer), MSG_DONTWAIT,
			     (struct sockaddr *)&from, &from_length);

	if (n < 0 && errno == ENOBUFS)
		note_lost(calls->gate);
	if (n < 0)
		return errno == ENOBUFS || errno == EINTR;
	/* Who may configure networks can send to this socket, too. */
	if ((size_t)n < sizeof(head) || from.nl_pid != 0)
		return true;
	memcpy(&head, buffer, sizeof(head));
	if (head.nlmsg_type == AUDIT_SECCOMP &&
	    audit_parse(buffer + NLMSG_HDRLEN, (size_t)n - NLMSG_HDRLEN, &refusal) == 0 &&
	    is_refusal(refusal.action))
		note(calls->gate, &refusal);
	return true;
}

void calls_take(struct calls *calls)
{
	for (int i = 0; i < TAKEN_AT_ONCE && take_one(calls); i++) {
	}
}
