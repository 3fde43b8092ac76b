/*
 * One sentence for each kind of refusal: how often, whom last, and what to do about it. How often is
 * what the gate counted, where the dump has that, since its events have a rate and the log an end; an
 * output without a dump has the events alone.
 */
#include "tools/refusals.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/cleanup.h"
#include "lib/str.h"

/* What was asked for in one instance is mostly the same program again: so many different ones are
 * named. */
#define NAMED_MAX 4

struct names {
	const char *texts[NAMED_MAX];
	size_t count;
	bool are_more;
};

static void add_name(struct names *names, const char *text)
{
	for (size_t i = 0; i < names->count; i++) {
		if (str_equal(names->texts[i], text))
			return;
	}
	names->are_more |= names->count == NAMED_MAX;
	if (names->count < NAMED_MAX)
		names->texts[names->count++] = text;
}

static void say_names(const struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		printf("%s%s", i ? ", " : "", names->texts[i]);
	printf("%s", names->are_more ? " and others" : "");
}

/* The events of one name and, unless it is NULL, one reason. */
struct group {
	const struct evidence_event *last;
	struct names exes, askers;
	int64_t count;
};

static struct group collect(const struct evidence *evidence, const char *name, const char *reason)
{
	struct group group = {.count = 0};
	const struct evidence_event *event;

	for (size_t i = 0; (event = evidence_event_at(evidence, i)); i++) {
		if (!str_equal(event->name, name) || (reason && !str_equal(event->reason, reason)))
			continue;
		group.last = event;
		group.count++;
		if (*event->exe || *event->subject)
			add_name(&group.exes, *event->exe ? event->exe : event->subject);
		if (*event->asker)
			add_name(&group.askers, event->asker);
	}
	return group;
}

static void say_last(const struct group *group)
{
	if (!group->last)
		return;
	printf("  They ran ");
	say_names(&group->exes);
	if (*group->last->time)
		printf("; the last of them at %s", group->last->time);
	if (group->last->uid >= 0)
		printf(", as uid %" PRId64, group->last->uid);
	printf(".\n");
}

/* The counter, or what there are events of. */
static int64_t at_least(int64_t counted, const struct group *group)
{
	return counted > group->count ? counted : group->count;
}

static const char *plural(int64_t count, const char *one, const char *many)
{
	return count == 1 ? one : many;
}

/* ---------------------------------------------------------------- who came in */

static int say_killed(const struct evidence *evidence)
{
	struct group group = collect(evidence, "intruder-killed", NULL);
	int64_t count = at_least(evidence->gate.killed, &group);

	if (count == 0)
		return 0;
	printf("Kept out: %" PRId64
	       " %s came in from outside (podman exec, kubectl exec, nsenter, a "
	       "container beside it) and %s killed.\n",
	       count, plural(count, "process", "processes"), plural(count, "was", "were"));
	say_last(&group);
	printf("  Whoever needs to look into this instance has holdfastctl, executed as it is.\n");
	return 1;
}

static int say_turned_away(const struct evidence *evidence)
{
	struct group shells = collect(evidence, "shell-refused", NULL);
	struct group entries = collect(evidence, "entry-refused", NULL);
	int64_t count = shells.count + entries.count;

	count = evidence->gate.turned_away > count ? evidence->gate.turned_away : count;
	if (count == 0)
		return 0;
	printf("Turned away: %" PRId64 " time%s somebody came in from outside and found nothing to "
	       "execute",
	       count, count == 1 ? "" : "s");
	if (shells.exes.count > 0) {
		printf(", asking for ");
		say_names(&shells.exes);
	}
	printf(".\n");
	return 1;
}

static int say_reported(const struct evidence *evidence)
{
	struct group seen = collect(evidence, "intruder-seen", NULL);
	struct group executed = collect(evidence, "exec-would-be-refused", NULL);
	int64_t count = seen.count + executed.count;

	count = evidence->gate.reported > count ? evidence->gate.reported : count;
	if (count == 0)
		return 0;
	printf("Not kept out: holdfast saw %" PRId64 " %s from outside, or %s that it would have "
	       "refused, and let %s be.\n  With Shells=warn it only reports.\n",
	       count, plural(count, "process", "processes"),
	       plural(count, "an execution", "executions"), plural(count, "it", "them"));
	say_last(seen.last ? &seen : &executed);
	return 1;
}

void refusals_say_unkillable(const struct evidence *evidence)
{
	struct group group = collect(evidence, "intruder-not-killed", NULL);

	if (group.last && *group.last->exe)
		say_last(&group);
	printf("  holdfast runs as another user than they and has no CAP_KILL; its own end is what "
	       "ends them.\n  Whoever executes something in this container has to do so as its own "
	       "user (without --user), and may execute holdfastctl alone.\n");
}

/* ---------------------------------------------------------------- what was not executed */

static const struct {
	const char *reason, *one, *many, *advice;
} executions[] = {
	{"outside", "execution was asked for from outside and refused",
	 "executions were asked for from outside and refused",
	 "Whoever needs to look into this instance has holdfastctl, executed as it is."},
	{"brought-along", "execution by a service was refused, of a file that is not the image's",
	 "executions by services were refused, of files that are not the image's",
	 "If it is meant to: put it into the image, name it in the unit's ExecPaths=, or declare "
	 "its place in [Scratch] with exec. If not, somebody may have taken over the service."},
	{"loader", "execution of a program loader by itself was refused",
	 "executions of a program loader by itself were refused",
	 "Execute the program, not its loader; if nobody meant to, somebody may have taken over the "
	 "service."},
	{"foreign-mount", "execution was refused, of a file that lies in no namespace of its own",
	 "executions were refused, of files that lie in no namespace of their own",
	 "Somebody passed an open file in."},
};

static int say_executions(const struct evidence *evidence)
{
	int64_t explained = 0;
	int n_told = 0;

	for (size_t i = 0; i < ARRAY_COUNT(executions); i++) {
		struct group group = collect(evidence, "exec-refused", executions[i].reason);
		if (group.count == 0)
			continue;
		printf("Refused: %" PRId64 " %s: ", group.count,
		       plural(group.count, executions[i].one, executions[i].many));
		say_names(&group.exes);
		if (group.askers.count > 0 && !str_equal(executions[i].reason, "outside")) {
			printf(" (asked for by ");
			say_names(&group.askers);
			printf(")");
		}
		printf(".\n  %s\n", executions[i].advice);
		explained += group.count;
		n_told++;
	}
	if (evidence->gate.denied <= explained)
		return n_told;
	printf("Refused: %" PRId64 " more %s, of which no line is left.\n",
	       evidence->gate.denied - explained,
	       plural(evidence->gate.denied - explained, "execution", "executions"));
	return n_told + 1;
}

/* ---------------------------------------------------------------- refused system calls */

static void say_call(const struct evidence_call *call)
{
	const char *who = *call->unit ? call->unit : call->program;

	printf("Refused: %s%s %s %s %" PRId64 " %s", *who ? who : "a process",
	       *call->unit ? "" : " (of no unit that is known)",
	       call->is_deadly ? "was killed by the system call filter for" : "was refused",
	       call->call, call->count, plural(call->count, "time", "times"));
	if (*call->program && *call->unit)
		printf(" (it calls itself %s)", call->program);
	printf(".\n");
	if (*call->allow)
		printf("  If it needs that: SandboxAllow=%s in its [X-Holdfast] allows it.\n",
		       call->allow);
}

static int say_calls(const struct evidence *evidence)
{
	for (size_t i = 0; i < evidence->n_calls; i++)
		say_call(&evidence->calls[i]);
	return (int)evidence->n_calls;
}

/* ---------------------------------------------------------------- what else there is to know */

static const struct {
	const char *event, *sentence;
} notes[] = {
	{"mounts-opened", "Somebody may have read or written files here: "},
	{"exec-refused-unseen", "Executions were refused that nobody can name: "},
	{"exec-gate-mount", "The exec gate does not see everything: "},
	{"calls-lost", "Not all refused system calls are counted: "},
	{"gate-failed", "The gate could not do its work: "},
};

int refusals_say(const struct evidence *evidence)
{
	int n_told = say_killed(evidence) + say_turned_away(evidence) + say_reported(evidence) +
		     say_executions(evidence) + say_calls(evidence);

	for (size_t i = 0; i < ARRAY_COUNT(notes); i++) {
		const struct evidence_event *event =
			evidence_last_event(evidence, notes[i].event, NULL);
		if (!event)
			continue;
		printf("%s%s\n", notes[i].sentence, event->message);
		n_told++;
	}
	return n_told;
}
