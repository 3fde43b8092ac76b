/*
 * What can be known of a unit's secrets before they are fetched, said with the line that asks for them.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fingerprint.h"
#include "lib/str.h"
#include "units/condition.h"
#include "units/resolving.h"

/* What boot would find out anyway is said with its line. */
static void check_secret(struct resolving *r, const struct secret *secret)
{
	struct report *report = &r->units->report;
	const char *rest = strchr(secret->reference, ':') + 1;
	mode_t mode;

	if (secret->flags & SECRET_OPTIONAL || secret->is_pending || report->is_offline ||
	    report->is_skipped || !r->units->request.environment)
		return;
	/* Whether it is needed shows when all is mounted (boot/secrets.c). */
	if (condition_may_change(&r->unit->conditions))
		return;
	if (str_starts(secret->reference, "env:") &&
	    !resolving_variable(r->units, rest, strlen(rest)))
		report_failure(report, &secret->at, EX_NOINPUT,
			       "%s: the variable %s is not set in holdfast's environment",
			       secret->name, rest);
	if (str_starts(secret->reference, "file:")) {
		int error = source_mode(&r->units->source, rest, &mode);
		if (error < 0)
			report_failure(report, &secret->at, source_status(-error), "%s: %s: %s",
				       secret->name, rest, strerror(-error));
		else if (!S_ISREG(mode))
			report_error(report, &secret->at, "%s: %s: it is no regular file",
				     secret->name, rest);
	}
}

/* In an image's tree the value may be at hand; at boot whoever fetches it says so. */
static void check_length(struct resolving *r, const struct secret *secret)
{
	const struct report *report = &r->units->report;
	char *text;
	size_t length;

	if ((secret->flags & SECRET_IS_CONFIG) || report->is_offline ||
	    r->units->request.environment || !str_starts(secret->reference, "file:") ||
	    source_read(&r->units->source, strchr(secret->reference, ':') + 1, 2 * FINGERPRINT_MIN,
			&text, &length) < 0)
		return;
	while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		length--;
	if (length < FINGERPRINT_MIN)
		report_warning(
			&r->units->report, &secret->at,
			"%s: its value has %zu bytes, and where a service prints it, it cannot "
			"be hidden: %d or more can be",
			secret->name, length, FINGERPRINT_MIN);
	explicit_bzero(text, length);
}

/* A secret takes the place of a variable of that name: said, as one of the two is not needed. */
static void check_collisions(struct resolving *r, const struct secret *secret)
{
	const struct settings *list = &r->unit->environment;
	size_t length = strlen(secret->name);

	if (secret->delivery == SECRET_FILE || (secret->flags & SECRET_IS_PATH))
		return;
	for (size_t i = 0; i < list->count; i++) {
		if (strncmp(list->items[i].text, secret->name, length) == 0 &&
		    list->items[i].text[length] == '=') {
			report_warning(&r->units->report, &secret->at,
				       "%s: Environment= sets it, too: the secret holds",
				       secret->name);
			return;
		}
	}
}

/* What a signal can bring to a running process is files: its environment stays as it is. */
static void check_changes(struct resolving *r)
{
	const struct secrets *list = &r->unit->secrets;

	for (size_t i = 0; i < list->count; i++)
		check_collisions(r, &list->items[i]);
	if (r->unit->plan.on_change == CHANGE_SIGNAL && !resolving_has_files(r->unit) &&
	    list->count > 0)
		report_warning(
			&r->units->report, &list->items[0].at,
			"OnChange=signal: reaches no secret of this unit, as the environment "
			"of a running process cannot change: expected SecretFile=, [X-Templates] or "
			"OnChange=restart");
}

void resolve_secrets(struct resolving *r)
{
	const struct secrets *list = &r->unit->secrets;

	for (size_t i = 0; i < list->count; i++) {
		check_secret(r, &list->items[i]);
		check_length(r, &list->items[i]);
	}
	check_changes(r);
}
