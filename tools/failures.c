#include "tools/failures.h"

#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

#define ERRORS_MAX 8 /* that are told */

int failures_say_secrets(const struct evidence *evidence, const char *unit)
{
	static const struct {
		const char *event, *sentence;
	} kinds[] = {
		{"secret-not-found", "was not found"},
		{"secret-denied", "may not be read"},
		{"secret-malformed", "is not what it must be"},
		{"secret-failed", "could not be read"},
		{"secret-unreachable", "is where nothing can be reached"},
		{"secret-unavailable", "could not be had at that time"},
	};
	int n_told = 0;

	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		const struct evidence_event *event =
			evidence_last_event(evidence, kinds[i].event, unit);
		if (!event)
			continue;
		/* holdfast's own line names the secret and its reference once more. */
		const char *why = strstr(event->message, "): ");
		printf("  The secret %s (%s) %s: %s\n", event->subject, event->reference,
		       kinds[i].sentence,
		       str_starts(event->message, "secret ") && why ? why + 3 : event->message);
		n_told++;
	}
	return n_told;
}

int failures_say_last(const struct evidence *evidence, const char *unit)
{
	const struct evidence_event *event = evidence_last_event(evidence, "probe-failed", unit);

	/* Of readiness nobody is stopped. */
	if (!event || strstr(event->message, "readiness"))
		return failures_say_secrets(evidence, unit);
	printf("  holdfast said: %s\n", event->message);
	return 1;
}

static bool is_error(const struct evidence_event *event)
{
	return str_equal(event->level, "error") || str_equal(event->name, "probe-failed");
}

/* Whether the same was said again later, of which the last one counts, or is over. */
static bool is_repeated(const struct evidence *evidence, size_t i)
{
	const struct evidence_event *event = evidence_event_at(evidence, i), *later;

	while ((later = evidence_event_at(evidence, ++i))) {
		if (!str_equal(later->unit, event->unit))
			continue;
		if (str_equal(later->name, event->name) &&
		    str_equal(later->message, event->message))
			return true;
		if (str_equal(event->name, "probe-failed") &&
		    str_equal(later->name, "probe-passed"))
			return true;
	}
	return false;
}

int failures_say_errors(const struct evidence *evidence)
{
	const struct evidence_event *event;
	int n_told = 0;

	for (size_t i = 0; n_told < ERRORS_MAX && (event = evidence_event_at(evidence, i)); i++) {
		if (!is_error(event) || is_repeated(evidence, i))
			continue;
		if (n_told++ == 0)
			printf("Nothing has ended, but this went wrong:\n");
		printf("  %s %s%s%s\n", event->time, event->unit, *event->unit ? ": " : "",
		       event->message);
	}
	return n_told;
}
