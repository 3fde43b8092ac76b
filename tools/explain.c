/*
 * holdfast-explain [DUMP|-]: what went wrong first, in plain sentences.
 *
 * Many units fail together and one of them failed first. So: of every unit that is not as it should
 * be, ask whether it failed by itself or because of one that it requires; what failed by itself is
 * told first, the earliest first, each with the lines that it wrote just before; what followed from
 * it is told behind it. Failures of the instance itself (its configuration, its supervisor, its
 * stop budget) come before those of units, since no unit outlives them.
 *
 * Exit status: 0 explained, 1 nothing wrong found, 65 not a dump.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "tools/evidence.h"
#include "tools/failures.h"
#include "tools/refusals.h"

#define EXPLAINED  0
#define NOT_WRONG  1
#define USAGE	   64
#define UNREADABLE 65
#define NOT_FOUND  66

#define CAUSES_MAX 8 /* causes that are told in full */

struct story {
	const struct evidence *evidence;
	const struct evidence_unit **wrong; /* units that are not as they should be, by time */
	size_t n_wrong;
	int n_told;
};

/* ---------------------------------------------------------------- saying */

static void say(const char *text)
{
	(void)fputs(text, stdout);
}

static const char *signal_name(int64_t number)
{
	const char *name = number > 0 && number < NSIG ? sigabbrev_np((int)number) : NULL;

	return name ? name : "?";
}

static void say_tail(const struct evidence_unit *unit)
{
	const struct evidence_line *line;
	bool is_read_only = false;

	if (unit->n_lines == 0)
		return;
	printf("  The last lines that it wrote:\n");
	for (size_t i = 0; (line = evidence_line_at(unit, i)); i++) {
		printf("    ");
		say(line->time);
		printf(" ");
		say(line->text);
		printf("\n");
		is_read_only |= strstr(line->text, "Read-only file system") != NULL;
	}
	if (is_read_only)
		printf("  Nothing can be written here but what is declared: [Scratch] in holdfast.conf, "
		       "or StateDirectory= and its like in the unit.\n");
}

/* ---------------------------------------------------------------- a unit's own failure */

/* What each number of a failed set-up means, and what to look at (systemd.exec(5)). */
static const struct {
	int64_t status;
	const char *sentence;
} setups[] = {
	{200, "Its working directory could not be entered: does WorkingDirectory= exist, and may "
	      "its user enter it?"},
	{203,
	 "Its program could not be executed: the file, its interpreter or its loader is missing "
	 "from the image, or the file is not executable there."},
	{205,
	 "Its resource limits could not be set: a Limit...= is above what holdfast itself has."},
	{206, "Its OOMScoreAdjust= could not be set: lowering it needs CAP_SYS_RESOURCE."},
	{209, "Its output could not be set up."},
	{210, "Its RootDirectory= could not be entered."},
	{216,
	 "Its group could not be taken: does Group= exist in the image, and is holdfast allowed "
	 "to change groups here?"},
	{217, "Its user could not be taken: User= does not exist in the image, or holdfast is not "
	      "allowed to change users here."},
	{218, "Its capabilities could not be set: it asks for more than holdfast was given."},
	{219, "Its cgroup could not be entered."},
	{226, "Its mounts could not be set up: a path that it names is missing, or mounting is not "
	      "allowed here."},
	{228, "Its system call filter could not be installed."},
	{233, "Its RuntimeDirectory= could not be made."},
	{238, "Its StateDirectory= could not be made: is its place declared as scratch?"},
	{239, "Its CacheDirectory= could not be made: is its place declared as scratch?"},
	{240, "Its LogsDirectory= could not be made: is its place declared as scratch?"},
	{241, "Its ConfigurationDirectory= could not be made."},
	{243,
	 "Its credentials could not be put into place: there is no memory for files that cannot "
	 "swap, or the directory is not to be written."},
};

static void say_setup(const struct story *story, const struct evidence_unit *unit)
{
	const struct evidence_event *event =
		evidence_last_event(story->evidence, "setup-failed", unit->name);
	const char *sentence = "Its process could not be set up.";

	for (size_t i = 0; i < ARRAY_COUNT(setups); i++) {
		if (setups[i].status == unit->exec_error)
			sentence = setups[i].sentence;
	}
	printf("%s never ran: its set-up failed with status %" PRId64 ".\n", unit->name,
	       unit->exec_error);
	if (event && (strstr(event->message, "not permitted") ||
		      strstr(event->message, "Permission denied")))
		printf("  It was not permitted: holdfast, or the unit's user, lacks the right.\n");
	printf("  %s\n", sentence);
	if (event) {
		printf("  holdfast said: ");
		say(event->message);
		printf("\n");
	}
}

static bool is_crash(int64_t signal)
{
	return signal == SIGSEGV || signal == SIGABRT || signal == SIGBUS || signal == SIGILL ||
	       signal == SIGFPE || signal == SIGTRAP;
}

static void say_memory(const struct story *story, const struct evidence_unit *unit)
{
	if (unit->is_oom_killed)
		printf("  Its cgroup counts an oom_kill: it reached its memory limit. Raise it, or "
		       "find what grew.\n");
	else if (*story->evidence->kernel_oom) {
		printf("  The kernel ran out of memory: ");
		say(story->evidence->kernel_oom);
		printf("\n");
	}
}

/* Those of holdfast let a call fail, and the runtime's mostly, too. */
static void say_filter(const struct evidence_unit *unit)
{
	printf("%s was killed by a filter of system calls (SIGSYS).\n"
	       "  holdfast's own filters only let calls fail: this one is of the program itself, or of "
	       "the container's runtime.\n",
	       unit->name);
}

static void say_signal(const struct story *story, const struct evidence_unit *unit)
{
	int64_t number = unit->exit_status;
	bool is_known_oom = unit->is_oom_killed || *story->evidence->kernel_oom;

	if (number == SIGSYS) {
		say_filter(unit);
		return;
	}
	printf("%s was killed by SIG%s (%" PRId64 ").\n", unit->name, signal_name(number), number);
	if (number == SIGKILL && is_known_oom) {
		say_memory(story, unit);
	} else if (number == SIGKILL) {
		printf("  Who sends SIGKILL is mostly the kernel, when memory runs out: compare "
		       "the memory limit with what it used.\n");
	} else if (is_crash(number)) {
		printf("  It crashed: this is a fault of the program.\n");
	} else {
		printf("  holdfast was not asked to stop it: another process sent the signal, or "
		       "it did itself.\n");
	}
}

static void say_exit_code(const struct story *story, const struct evidence_unit *unit)
{
	(void)story;
	printf("%s exited with status %" PRId64 ".\n", unit->name, unit->exit_status);
	if (unit->exit_status == 127)
		printf("  127 is what a shell or env says when it does not find a program.\n");
	if (unit->exit_status == 126)
		printf("  126 is what a shell says when it may not execute a program.\n");
}

static void say_core_dump(const struct story *story, const struct evidence_unit *unit)
{
	(void)story;
	if (unit->exit_status == SIGSYS) {
		say_filter(unit);
		return;
	}
	printf("%s crashed with SIG%s (%" PRId64 ").\n  It is a fault of the program.\n",
	       unit->name, signal_name(unit->exit_status), unit->exit_status);
}

static void say_timeout(const struct story *story, const struct evidence_unit *unit)
{
	(void)story;
	if (unit->was_active)
		printf("%s did not stop in time and was killed (TimeoutStopSec=).\n", unit->name);
	else
		printf("%s did not come up in time and was stopped (TimeoutStartSec=).\n"
		       "  With Type=notify it has to say READY=1; what it waited for may stand in "
		       "its lines.\n",
		       unit->name);
}

static void say_watchdog(const struct story *story, const struct evidence_unit *unit)
{
	(void)story;
	printf("%s hung: no WATCHDOG=1 came within its WatchdogSec=, so it was killed.\n",
	       unit->name);
}

static void say_start_limit(const struct story *story, const struct evidence_unit *unit)
{
	printf("%s was restarted too often (%" PRId64
	       " times) and given up: StartLimitBurst= within "
	       "StartLimitIntervalSec= was reached.\n",
	       unit->name, unit->restarts);
	if (unit->has_exited && unit->exit_code == CLD_EXITED)
		printf("  Its last run exited with status %" PRId64 ".\n", unit->exit_status);
	else if (unit->has_exited)
		printf("  Its last run was killed by SIG%s.\n", signal_name(unit->exit_status));
	(void)failures_say_last(story->evidence, unit->name);
}

static void say_protocol(const struct story *story, const struct evidence_unit *unit)
{
	(void)story;
	printf("%s ended before it was ready: it never said what its Type= promises (READY=1, or a "
	       "PID file).\n",
	       unit->name);
}

static void say_oom(const struct story *story, const struct evidence_unit *unit)
{
	printf("%s was killed by the kernel because memory ran out.\n", unit->name);
	say_memory(story, unit);
}

static void say_resources(const struct story *story, const struct evidence_unit *unit)
{
	const struct evidence_event *event =
		evidence_last_event(story->evidence, "spawn-failed", unit->name);

	printf("%s could not be started: there was no process, memory or descriptor for it.\n",
	       unit->name);
	if (event) {
		printf("  holdfast said: ");
		say(event->message);
		printf("\n");
	}
}

static void say_assert(const struct story *story, const struct evidence_unit *unit)
{
	(void)story;
	printf("%s was not started: one of its Assert...= does not hold.\n", unit->name);
}

static void say_probe(const struct story *story, const struct evidence_unit *unit)
{
	printf("%s failed its probe too often and was stopped.\n", unit->name);
	(void)failures_say_last(story->evidence, unit->name);
}

static void say_dependency(const struct story *story, const struct evidence_unit *unit)
{
	(void)story;
	printf("%s was not started: a unit that it requires failed, which this dump does not "
	       "show.\n",
	       unit->name);
}

static void say_secrets(const struct story *story, const struct evidence_unit *unit)
{
	printf("%s was not started: its secrets could not be had.\n", unit->name);
	(void)failures_say_secrets(story->evidence, unit->name);
}

static const struct {
	const char *result;
	void (*say)(const struct story *story, const struct evidence_unit *unit);
	bool has_lines; /* what it wrote may say why */
} results[] = {
	{"exit-code", say_exit_code, true},    {"signal", say_signal, true},
	{"core-dump", say_core_dump, true},    {"timeout", say_timeout, true},
	{"watchdog", say_watchdog, true},      {"start-limit-hit", say_start_limit, true},
	{"protocol", say_protocol, true},      {"oom-kill", say_oom, true},
	{"resources", say_resources, false},   {"assert", say_assert, false},
	{"secrets", say_secrets, false},       {"probe", say_probe, true},
	{"dependency", say_dependency, false},
};

static void say_when(const struct evidence_unit *unit)
{
	if (!*unit->since)
		return;
	printf("  That was at ");
	say(unit->since);
	if (unit->restarts > 0)
		printf(", after %" PRId64 " restart%s", unit->restarts,
		       unit->restarts == 1 ? "" : "s");
	printf(".\n");
}

static void say_unit(const struct story *story, const struct evidence_unit *unit)
{
	if (unit->exec_error >= 200) {
		say_setup(story, unit);
		say_when(unit);
		return;
	}
	for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
		if (!str_equal(results[i].result, unit->result))
			continue;
		results[i].say(story, unit);
		say_when(unit);
		if (results[i].has_lines)
			say_tail(unit);
		return;
	}
	printf("%s is %s, and should be up.\n", unit->name, unit->state);
	say_when(unit);
	say_tail(unit);
}

/* ---------------------------------------------------------------- who failed because of whom */

/* "success" with a state that is not failed is no failure, whatever was before. */
static bool is_wrong(const struct evidence_unit *unit)
{
	if (str_equal(unit->result, "success") || str_equal(unit->result, "condition"))
		return false;
	return str_equal(unit->state, "failed") || str_equal(unit->state, "auto-restart") ||
	       (!unit->is_up && *unit->result != '\0');
}

static int by_time(const void *a, const void *b)
{
	const struct evidence_unit *const *left = a, *const *right = b;

	/* All times are RFC 3339 in UTC with as many digits: text sorts as time does. */
	return strcmp((*left)->since, (*right)->since);
}

static void collect(struct story *story)
{
	const struct evidence *evidence = story->evidence;

	for (size_t i = 0; i < evidence->n_units; i++) {
		if (is_wrong(&evidence->units[i]))
			story->wrong[story->n_wrong++] = &evidence->units[i];
	}
	if (story->n_wrong > 1)
		qsort(story->wrong, story->n_wrong, sizeof(story->wrong[0]), by_time);
}

/* The earliest failed unit that this one requires, or NULL. */
static const struct evidence_unit *culprit(const struct story *story,
					   const struct evidence_unit *unit)
{
	const struct evidence_unit *found = NULL;

	for (size_t i = 0; i < unit->n_requires; i++) {
		const struct evidence_unit *other =
			evidence_find_unit(story->evidence, unit->requires[i]);
		if (other && other != unit && is_wrong(other) &&
		    (!found || strcmp(other->since, found->since) < 0))
			found = other;
	}
	return found;
}

static bool is_consequence(const struct story *story, const struct evidence_unit *unit)
{
	return str_equal(unit->result, "dependency") && culprit(story, unit) != NULL;
}

/* Follows the chain of requirements to its start; a cycle ends it. */
static const struct evidence_unit *root_of(const struct story *story,
					   const struct evidence_unit *unit)
{
	for (size_t i = 0; i < story->n_wrong && is_consequence(story, unit); i++)
		unit = culprit(story, unit);
	return unit;
}

static void say_consequences(const struct story *story, const struct evidence_unit *root)
{
	for (size_t i = 0; i < story->n_wrong; i++) {
		const struct evidence_unit *unit = story->wrong[i];
		if (unit == root || !is_consequence(story, unit) || root_of(story, unit) != root)
			continue;
		printf("  Because of it %s was not started", unit->name);
		if (culprit(story, unit) != root)
			printf(" (it requires %s)", culprit(story, unit)->name);
		printf(".\n");
	}
}

static void say_units(struct story *story)
{
	int n_roots = 0;

	for (size_t i = 0; i < story->n_wrong; i++) {
		const struct evidence_unit *unit = story->wrong[i];
		if (is_consequence(story, unit) && root_of(story, unit) != unit)
			continue;
		if (n_roots++ >= CAUSES_MAX) {
			printf("Also wrong: %s (%s).\n", unit->name, unit->result);
			continue;
		}
		printf("%s", story->n_told == 0 ? "First: " : "Then: ");
		say_unit(story, unit);
		say_consequences(story, unit);
		story->n_told++;
	}
}

/* ---------------------------------------------------------------- the instance itself */

static void say_config_errors(const struct evidence *evidence)
{
	const struct evidence_event *event;
	const struct evidence_event *end = evidence_last_event(evidence, "boot-failed", NULL);

	for (size_t i = 0; (event = evidence_event_at(evidence, i)); i++) {
		if (!str_equal(event->name, "config-error") || strstr(end->message, event->message))
			continue;
		printf("  ");
		say(event->file);
		if (event->line > 0)
			printf(":%" PRId64, event->line);
		if (event->column > 0)
			printf(":%" PRId64, event->column);
		printf("%s", *event->file ? ": " : "");
		say(event->message);
		printf("\n");
	}
}

/* Events that are a failure of their own, whatever units did. */
static const struct {
	const char *event;
	const char *sentence;
	void (*more)(const struct evidence *evidence);
} instance_failures[] = {
	{"boot-failed", "holdfast refused to start: ", say_config_errors},
	{"boot-died", "holdfast could not start: ", NULL},
	{"boot-not-started", "holdfast could not start: ", NULL},
	{"not-started", "holdfast could not start: ", NULL},
	{"intruder-ends-instance", "The instance ended itself: ", refusals_say_unkillable},
	{"daemon-hopeless",
	 "A process of holdfast could not be kept alive, so the instance ended: ", NULL},
	{"stop-deadline",
	 "The stop budget (StopTimeoutSec=) was used up before everything was down: ", NULL},
};

static void say_instance(struct story *story)
{
	for (size_t i = 0; i < ARRAY_COUNT(instance_failures); i++) {
		const struct evidence_event *event =
			evidence_last_event(story->evidence, instance_failures[i].event, NULL);
		if (!event)
			continue;
		printf("%s%s",
		       story->n_told == 0 ? "First: " : "Then: ", instance_failures[i].sentence);
		say(event->message);
		printf("\n");
		if (instance_failures[i].more)
			instance_failures[i].more(story->evidence);
		story->n_told++;
	}
}

static void say_killed(struct story *story)
{
	for (size_t i = 0; i < story->evidence->n_units; i++) {
		const struct evidence_unit *unit = &story->evidence->units[i];
		if (!unit->was_killed)
			continue;
		printf("%s did not stop when it was asked to and was killed at the end of the stop "
		       "budget.\n",
		       unit->name);
		story->n_told++;
	}
}

static void say_end(const struct story *story)
{
	const struct evidence *evidence = story->evidence;
	const struct evidence_unit *unit = evidence_find_unit(evidence, evidence->cause_unit);

	if (!evidence->has_cause)
		return;
	printf("The instance ended with exit status %" PRId64 " because %s%s %s.\n",
	       evidence->exit_status, evidence->cause_unit,
	       unit && unit->is_essential ? ", which is essential," : "",
	       str_equal(evidence->cause_result, "success") ? "was done" : "failed");
}

/* What makes the account itself doubtful; true when lines are missing. */
static void say_doubts(const struct evidence *evidence)
{
	if (evidence->dropped > 0)
		printf("%" PRId64
		       " log lines were dropped because nobody read the output fast enough: "
		       "what they said is not here.\n",
		       evidence->dropped);
	if (evidence->has_dump && evidence->n_declared < 0)
		printf("The dump is cut: it has no end line, so there may be more to it.\n");
	else if (evidence->has_dump && evidence->n_declared != evidence->n_dump_lines)
		printf("The dump is damaged: it says that it has %" PRId64
		       " lines, and has %" PRId64 ".\n",
		       evidence->n_declared, evidence->n_dump_lines);
}

static int explain(const struct evidence *evidence)
{
	struct story story = {
		.evidence = evidence,
		.wrong = calloc(EVIDENCE_UNITS_MAX, sizeof(struct evidence_unit *)),
	};

	if (!story.wrong) {
		perror("holdfast-explain");
		return 70;
	}
	collect(&story);
	say_instance(&story);
	say_units(&story);
	say_killed(&story);
	story.n_told += refusals_say(evidence);
	if (story.n_told == 0)
		story.n_told += failures_say_errors(evidence);
	if (story.n_told == 0)
		printf("Nothing went wrong that is written here.\n");
	say_end(&story);
	say_doubts(evidence);
	free(story.wrong);
	return story.n_told > 0 ? EXPLAINED : NOT_WRONG;
}

static int run(FILE *input, const char *name)
{
	struct evidence evidence;
	int status;

	if (evidence_init(&evidence) < 0 || evidence_read(input, &evidence) < 0) {
		perror("holdfast-explain");
		return 70;
	}
	if (!evidence.has_dump && evidence.n_events == 0) {
		(void)fprintf(stderr, "holdfast-explain: %s: %s\n", name,
			      evidence.is_foreign
				      ? "its schema is of another version of holdfast"
				      : "neither a dump of holdfast nor its output (JSON Lines)");
		status = UNREADABLE;
	} else {
		status = explain(&evidence);
	}
	evidence_finish(&evidence);
	return fflush(stdout) == 0 ? status : 74;
}

int main(int argc, char **argv)
{
	if (argc > 2 || (argc == 2 && argv[1][0] == '-' && argv[1][1] != '\0')) {
		(void)fprintf(stderr, "usage: holdfast-explain [DUMP|-]\n");
		return argc == 2 && str_equal(argv[1], "--help") ? 0 : USAGE;
	}
	if (argc < 2 || str_equal(argv[1], "-"))
		return run(stdin, "the standard input");
	FILE *input = fopen(argv[1], "re");
	if (!input) {
		(void)fprintf(stderr, "holdfast-explain: %s: %s\n", argv[1], strerror(errno));
		return NOT_FOUND;
	}
	int status = run(input, argv[1]);
	(void)fclose(input);
	return status;
}
