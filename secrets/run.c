#include "secrets/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/event.h"
#include "lib/secretfile.h"
#include "secrets/certificate.h"
#include "secrets/hide.h"

/* MAX_ARG_STRLEN of the kernel: the most that execve(2) takes as one string, its NUL included. */
#define ENVIRONMENT_STRING_MAX (32U * 4096)

static const char *const failure_events[SECRET_OUTCOME_COUNT] = {
	[SECRET_OK] = "secret-read",
	[SECRET_NOT_FOUND] = "secret-not-found",
	[SECRET_DENIED] = "secret-denied",
	[SECRET_MALFORMED] = "secret-malformed",
	[SECRET_TEMPORARY] = "secret-unavailable",
	[SECRET_UNREACHABLE] = "secret-unreachable",
	[SECRET_FAILED] = "secret-failed",
};

/* ---- what surrounds it */

static const char *find_variable(const struct run_environ *environment, const char *name)
{
	size_t length = strlen(name);
	const char *at = environment->data;
	const char *end = at + environment->size;

	while (at < end) {
		size_t left = (size_t)(end - at);
		size_t n = strnlen(at, left);
		if (n == left)
			return NULL; /* no NUL: not what PID 1 wrote */
		if (n > length && at[length] == '=' && memcmp(at, name, length) == 0)
			return at + length + 1;
		at += n + 1;
	}
	return NULL;
}

const char *run_variable(const struct run *run, const char *name)
{
	return find_variable(&run->environment, name);
}

const char *run_setting(const struct run *run, const char *name)
{
	const char *value = secretrequest_find_setting(&run->request, name);

	if (!value)
		value = run_variable(run, name);
	return value && value[0] != '\0' ? value : NULL;
}

bool run_setting_is_true(const struct run *run, const char *name)
{
	const char *value = run_setting(run, name);
	bool is_true = false;

	return value && str_parse_bool(value, &is_true) == 0 && is_true;
}

uint32_t run_left_ms(const struct run *run, uint32_t max_ms)
{
	uint64_t now = clock_now_us();

	if (run->deadline_us == USEC_INFINITY)
		return max_ms;
	if (run->deadline_us <= now)
		return 0;
	return (uint32_t)MIN((run->deadline_us - now) / USEC_PER_MSEC, max_ms);
}

void run_again_in(struct run *run, uint64_t ms)
{
	run->report.next_ms = MIN(run->report.next_ms, ms);
}

void run_lease_ends_in(struct run *run, uint64_t ms)
{
	run->report.lease_end_ms = MIN(run->report.lease_end_ms, ms);
}

void run_retry_after(struct run *run, uint32_t ms)
{
	run->report.retry_ms = MAX(run->report.retry_ms, ms);
}

/* ---- names */

static bool is_file_name(const char *name)
{
	return name[0] != '\0' && !strchr(name, '/') && !strchr(name, '=') &&
	       !str_equal(name, ".") && !str_equal(name, "..");
}

static bool is_variable_name(const char *name)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";

	return name[0] != '\0' && !(name[0] >= '0' && name[0] <= '9') &&
	       name[strspn(name, letters)] == '\0';
}

bool run_name_fits(const struct secretrequest_item *item)
{
	return item->delivery == SECRET_FILE ? is_file_name(item->name)
					     : is_variable_name(item->name);
}

bool run_map_name(const char *from, char *to, size_t size)
{
	size_t length = 0;

	if (from[0] >= '0' && from[0] <= '9' && size > 0)
		to[length++] = '_';
	for (; *from != '\0'; from++) {
		char c = *from;
		if (length + 1 >= size)
			return false;
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		to[length++] = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
	}
	to[length] = '\0';
	return length > 0 && length <= SECRETFILE_NAME_MAX;
}

/* ---- giving and failing */

struct secret *run_next(struct run *run, const struct provider *provider, uint32_t *cursor)
{
	while (*cursor < run->request.count) {
		struct secret *secret = &run->secrets[(*cursor)++];
		if (secret->provider == provider && !secret->is_done)
			return secret;
	}
	return NULL;
}

static bool fits_environment(const char *name, const char *value, size_t length, struct strbuf *why)
{
	if (memchr(value, '\0', length)) {
		strbuf_adds(why, "its value has a NUL in it, which no environment can hold: use "
				 "SecretFile=");
		return false;
	}
	if (strlen(name) + 1 + length + 1 > ENVIRONMENT_STRING_MAX) {
		strbuf_addf(why,
			    "its value of %zu bytes is too large for the environment (128 KiB "
			    "with its name): use SecretFile=",
			    length);
		return false;
	}
	return true;
}

/* What status and metrics show of it: of a path its number of secrets, and the first end. */
static void note_value(struct secret *secret, const char *value, size_t length)
{
	struct secretreport_item *report = secret->report;
	int64_t end = certificate_expiry(value, length);

	if (end != 0 && (report->expires == 0 || end < report->expires))
		report->expires = end;
	if (secret->item.flags & SECRET_IS_PATH)
		report->length++;
	else
		report->length = (uint32_t)length;
}

static enum secret_outcome take_value(struct run *run, struct secret *secret, const char *name,
				      const char *source, const char *value, size_t length,
				      struct strbuf *why)
{
	if (length > SECRETFILE_VALUE_MAX) {
		strbuf_adds(why, "its value is larger than 1 MiB");
		return SECRET_MALFORMED;
	}
	if (secret->item.delivery == SECRET_ENVIRONMENT) {
		if (length > 0 && value[length - 1] == '\n')
			length--;
		if (!fits_environment(name, value, length, why))
			return SECRET_MALFORMED;
	}
	int r = collect_add(&run->values, secret->index, name, source, value, length);
	if (r == -E2BIG)
		strbuf_adds(why, "the secrets of the unit are larger than 8 MiB together");
	else if (r < 0)
		strbuf_addf(why, "the unit has more than %d secrets", COLLECT_VALUES_MAX);
	if (r == 0)
		note_value(secret, value, length);
	return r < 0 ? SECRET_MALFORMED : SECRET_OK;
}

void run_give(struct run *run, struct secret *secret, const void *value, size_t length,
	      const char *version)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;

	strbuf_init(&why, text, sizeof(text));
	enum secret_outcome outcome =
		take_value(run, secret, secret->item.name, NULL, value, length, &why);
	if (outcome != SECRET_OK) {
		run_fail(run, secret, outcome, "%s", text);
		return;
	}
	secretreport_set_version(secret->report, version ? version : "");
	secret->is_done = true;
}

void run_give_found(struct run *run, struct secret *secret, const char *name, const char *source,
		    const void *value, size_t length)
{
	char text[RUN_WHY_MAX];
	struct strbuf why;

	if (secret->is_done)
		return;
	strbuf_init(&why, text, sizeof(text));
	enum secret_outcome outcome = take_value(run, secret, name, source, value, length, &why);
	if (outcome != SECRET_OK)
		run_fail(run, secret, outcome, "%s: %s", source, text);
}

void run_give_end(struct run *run, struct secret *secret, const char *version)
{
	(void)run;
	if (secret->is_done)
		return;
	secretreport_set_version(secret->report, version ? version : "");
	secret->is_done = true;
}

static void say_failure(const struct run *run, const struct secret *secret, enum event_level level,
			const char *event, const char *text)
{
	event_with_string("name", secret->item.name);
	event_with_string("reference", secret->item.reference);
	event_emit(level, event, run->request.head.unit, "secret %s (%s)%s", secret->item.name,
		   secret->item.reference, text);
}

/* The unit was started without it. */
static bool was_absent(const struct run *run, const struct secret *secret)
{
	struct secretfile_record record;

	return (secret->item.flags & SECRET_OPTIONAL) && run->request.head.old_fd >= 0 &&
	       (!run->old ||
		secretfile_find(run->old, run->old_size, secret->item.name, &record) == 0);
}

/* Whether the value that the unit has already stays, or that it has none, since no better can be
 * had. */
static bool keep_old(struct run *run, struct secret *secret)
{
	if (run->request.head.operation != SECRETS_REFRESH || secret->is_over)
		return false;
	if (was_absent(run, secret))
		secret->report->flags |= SECRETREPORT_ITEM_ABSENT;
	else if (!run_give_old(run, secret, NULL))
		return false;
	secret->report->flags |= SECRETREPORT_ITEM_KEPT;
	run->report.flags |= SECRETREPORT_KEPT;
	return true;
}

/* The one that the supervisor names when the unit cannot start: the first of the unit's file. */
static void note_failure(struct run *run, const struct secret *secret, const char *sentence)
{
	for (uint32_t i = 0; i < secret->index; i++) {
		const struct secretreport_item *item = &run->report.items[i];
		if (item->outcome != SECRET_OK &&
		    !(item->flags & (SECRETREPORT_ITEM_ABSENT | SECRETREPORT_ITEM_KEPT)))
			return;
	}
	secretreport_set_failure(&run->report, sentence);
}

void run_fail(struct run *run, struct secret *secret, enum secret_outcome outcome,
	      const char *format, ...)
{
	char sentence[RUN_WHY_MAX], text[RUN_WHY_MAX + 64];
	struct strbuf buf;
	va_list args;

	if (secret->is_done)
		return;
	va_start(args, format);
	strbuf_init(&buf, sentence, sizeof(sentence));
	strbuf_vaddf(&buf, format, args);
	va_end(args);
	strbuf_init(&buf, text, sizeof(text));
	collect_drop(&run->values, secret->index);
	secret->is_done = true;
	secret->report->outcome = outcome;
	secret->report->length = 0;
	secret->report->expires = 0;
	if (outcome == SECRET_NOT_FOUND && (secret->item.flags & SECRET_OPTIONAL)) {
		secret->report->flags |= SECRETREPORT_ITEM_ABSENT;
		strbuf_addf(&buf, " is optional and left out: %s", sentence);
		say_failure(run, secret, EVENT_INFO, "secret-absent", text);
	} else if (keep_old(run, secret)) {
		strbuf_addf(&buf, " stays as it is: %s", sentence);
		say_failure(run, secret, EVENT_WARNING, "secret-kept", text);
	} else {
		strbuf_addf(&buf, ": %s", sentence);
		say_failure(run, secret, EVENT_ERROR, failure_events[outcome], text);
		note_failure(run, secret, sentence);
		if (run->outcome == SECRET_OK)
			run->outcome = outcome;
	}
}

void run_fail_all(struct run *run, const struct provider *provider, enum secret_outcome outcome,
		  const char *why)
{
	struct secret *secret;
	uint32_t cursor = 0;

	while ((secret = run_next(run, provider, &cursor)))
		run_fail(run, secret, outcome, "%s", why);
}

/* ---- the values that the unit has now */

static bool is_named(const struct run *run, const struct secretfile_record *record)
{
	for (uint32_t i = 0; i < run->request.count; i++) {
		const struct secretrequest_item *item = &run->secrets[i].item;
		if (!(item->flags & SECRET_IS_PATH) && strlen(item->name) == record->name_length &&
		    memcmp(item->name, record->name, record->name_length) == 0)
			return true;
	}
	return false;
}

/* All that no item names: what the unit's paths had. With several paths it is not known which had
 * what, and each that is kept keeps all: the precedence settles it as it did before. */
static bool give_old_path(struct run *run, struct secret *secret)
{
	struct secretfile_record record;
	char name[SECRETFILE_NAME_MAX + 1];
	size_t cursor = 0;

	while (secretfile_next(run->old, run->old_size, &cursor, &record) > 0) {
		if (is_named(run, &record))
			continue;
		memcpy(name, record.name, record.name_length);
		name[record.name_length] = '\0';
		if (collect_add(&run->values, secret->index, name, name, record.value,
				record.value_length) < 0)
			return false;
		note_value(secret, record.value, record.value_length);
	}
	return true;
}

bool run_old_value(const struct run *run, const struct secret *secret, const char **ret_value,
		   size_t *ret_length)
{
	struct secretfile_record record;

	if (!run->old || secretfile_find(run->old, run->old_size, secret->item.name, &record) <= 0)
		return false;
	*ret_value = record.value;
	*ret_length = record.value_length;
	return true;
}

bool run_give_old(struct run *run, struct secret *secret, const char *version)
{
	const char *value;
	size_t length;

	if (!run->old)
		return false;
	if (secret->item.flags & SECRET_IS_PATH) {
		if (!give_old_path(run, secret))
			return false;
	} else {
		if (!run_old_value(run, secret, &value, &length) ||
		    collect_add(&run->values, secret->index, secret->item.name, NULL, value,
				length) < 0)
			return false;
		note_value(secret, value, length);
	}
	secretreport_set_version(secret->report, version ? version : "");
	secret->is_done = true;
	return true;
}

/* ---- the end */

static void settle_names(struct run *run)
{
	bool is_path[SECRETREQUEST_ITEMS_MAX];
	uint32_t first, second;

	for (uint32_t i = 0; i < run->request.count; i++)
		is_path[i] = run->secrets[i].item.flags & SECRET_IS_PATH;
	while (collect_settle(&run->values, is_path, &first, &second) < 0) {
		const struct collect_value *a = &run->values.values[first];
		const struct collect_value *b = &run->values.values[second];
		struct secret *secret = &run->secrets[a->item];
		secret->is_done = false;
		run_fail(run, secret, SECRET_MALFORMED,
			 "%s and %s would both be called %s: name them with Secret=",
			 a->source ? a->source : a->name, b->source ? b->source : b->name, a->name);
	}
}

static const struct collect_value *winner_of(const struct run *run,
					     const struct collect_value *value)
{
	for (uint32_t i = 0; i < run->values.count; i++) {
		const struct collect_value *other = &run->values.values[i];
		if (other->value && str_equal(other->name, value->name))
			return other;
	}
	return NULL;
}

/* What is written down beats what a path brings, and a later path an earlier one: once, at the start. */
static void tell_replaced(const struct run *run)
{
	for (uint32_t i = 0; i < run->values.count && run->request.head.operation == SECRETS_FETCH;
	     i++) {
		const struct collect_value *value = &run->values.values[i];
		const struct collect_value *winner = value->value ? NULL : winner_of(run, value);
		if (!winner || run->secrets[value->item].report->outcome != SECRET_OK)
			continue;
		const struct secretrequest_item *item = &run->secrets[winner->item].item;
		event_with_string("name", value->name);
		event_emit(EVENT_WARNING, "secret-replaced", run->request.head.unit,
			   "%s gives way to %s: both are called %s",
			   value->source ? value->source : value->name,
			   winner->source ? winner->source : item->reference, value->name);
	}
}

static uint32_t count_records(const char *data, size_t size)
{
	struct secretfile_record record;
	size_t cursor = 0;
	uint32_t n = 0;

	while (data && secretfile_next(data, size, &cursor, &record) > 0)
		n++;
	return n;
}

static bool is_unchanged(const struct run *run, const struct collect_value *value)
{
	struct secretfile_record record;

	return run->old && secretfile_find(run->old, run->old_size, value->name, &record) > 0 &&
	       record.value_length == value->length &&
	       memcmp(record.value, value->value, value->length) == 0;
}

static int write_values(struct run *run, uint32_t *ret_count)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < run->values.count; i++) {
		const struct collect_value *value = &run->values.values[i];
		if (!value->value)
			continue;
		int r = secretfile_append(STDOUT_FILENO, value->name, value->value, value->length);
		if (r < 0)
			return r;
		n++;
		if (!is_unchanged(run, value)) {
			run->secrets[value->item].report->flags |= SECRETREPORT_ITEM_CHANGED;
			run->report.flags |= SECRETREPORT_CHANGED;
		}
	}
	if (run->old && n != count_records(run->old, run->old_size))
		run->report.flags |= SECRETREPORT_CHANGED;
	*ret_count = n;
	return 0;
}

static void seal(void)
{
	/* Only a memfd made for it can be sealed; files on ramfs and tmpfs refuse. */
	(void)fcntl(STDOUT_FILENO, F_ADD_SEALS,
		    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

/* What is configuration may stand in the log. */
static void hide_secrets(const struct run *run)
{
	hide_begin(run->request.head.unit);
	for (uint32_t i = 0; i < run->values.count; i++) {
		const struct collect_value *value = &run->values.values[i];
		if (value->value &&
		    !(run->secrets[value->item].report->flags & SECRETREPORT_ITEM_CONFIG))
			hide_value(value->name, value->value, value->length);
	}
}

static uint32_t deliver(struct run *run)
{
	uint32_t count = 0;

	if (run->outcome != SECRET_OK)
		return 0;
	hide_secrets(run);
	int r = write_values(run, &count);
	if (r == 0 && run->request.head.operation != SECRETS_REVOKE)
		hide_done();
	if (r < 0) {
		event_emit(EVENT_ERROR, "secrets-failed", run->request.head.unit,
			   "the memory for its secrets cannot be written: %s", strerror(-r));
		run->outcome = SECRET_FAILED;
	}
	return count;
}

int run_finish(struct run *run)
{
	settle_names(run);
	tell_replaced(run);
	uint32_t count = deliver(run);
	size_t bytes = run->values.bytes;
	int status = secret_outcome_status[run->outcome];

	collect_wipe(&run->values);
	if (run->outcome != SECRET_OK)
		(void)ftruncate(STDOUT_FILENO, 0);
	run->report.status = status;
	if (run->request.head.report_fd >= 0 &&
	    secretreport_write(run->request.head.report_fd, &run->report) < 0)
		event_emit(EVENT_WARNING, "secrets-report", run->request.head.unit,
			   "the report about its secrets cannot be written");
	if (run->outcome != SECRET_OK || run->request.head.operation == SECRETS_REVOKE)
		return status;
	seal();
	event_with_i64("count", count);
	event_with_i64("bytes", (int64_t)bytes);
	event_emit(EVENT_INFO, "secrets-read", run->request.head.unit, "%u of %u secrets are ready",
		   count, run->request.count);
	return status;
}
