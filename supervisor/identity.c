#include "supervisor/identity.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/reference.h"
#include "lib/secretfile.h"
#include "lib/secretreport.h"
#include "lib/secretrequest.h"
#include "supervisor/manager.h"

#define VALUE_MAX 1024
#define WHY_MAX	  384

/* The values of the identity unit, as its helper wrote them. */
struct values {
	const char *data;
	size_t size;
};

static void values_unmap(struct values *values)
{
	if (values->data)
		(void)munmap((void *)(uintptr_t)values->data, values->size);
}

static struct values map_values(const struct manager *m)
{
	uint32_t unit = m->plan.header->identity_unit;
	int fd = unit == PLAN_NO_UNIT ? -1 : manager_secret_fd(m, unit);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0)
		return (struct values){0};
	void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return (struct values){0};
	return (struct values){data, (size_t)st.st_size};
}

static bool is_line(const struct secretfile_record *record)
{
	if (record->value_length == 0 || record->value_length > VALUE_MAX)
		return false;
	for (uint32_t i = 0; i < record->value_length; i++) {
		unsigned char c = (unsigned char)record->value[i];
		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

/* The value for the name of length bytes, to out. */
static bool add_value(const struct values *values, const char *name, size_t length,
		      struct strbuf *out, struct strbuf *why)
{
	char text[SECRETFILE_NAME_MAX + 1];
	struct secretfile_record record;

	if (length >= sizeof(text))
		return false;
	memcpy(text, name, length);
	text[length] = '\0';
	if (!values->data || secretfile_find(values->data, values->size, text, &record) != 1) {
		strbuf_addf(why, "${%s} of [Identity] is not known", text);
		return false;
	}
	if (!is_line(&record)) {
		strbuf_addf(why, "${%s} of [Identity] is not one line of text, of at most %d bytes",
			    text, VALUE_MAX);
		return false;
	}
	strbuf_add(out, record.value, record.value_length);
	return true;
}

/* The plan was checked: each "${" has its "}". */
static bool expand(const struct values *values, const char *reference, struct strbuf *out,
		   struct strbuf *why)
{
	while (*reference) {
		const char *end = str_starts(reference, "${") ? strchr(reference, '}') : NULL;
		if (!end) {
			strbuf_addc(out, *reference++);
			continue;
		}
		if (!add_value(values, reference + 2, (size_t)(end - reference) - 2, out, why))
			return false;
		reference = end + 1;
	}
	if (out->is_cut)
		strbuf_adds(why, "with what [Identity] says it is too long");
	return !out->is_cut;
}

const char *identity_fill(const struct manager *m, uint32_t index, struct strbuf *out,
			  struct strbuf *why)
{
	const struct plan_secret *secret = plan_secret(&m->plan, index);
	const char *reference = plan_string(&m->plan, secret->reference);
	size_t at;

	if (!(secret->flags & SECRET_NEEDS_IDENTITY))
		return reference;
	CLEANUP(values_unmap) struct values values = map_values(m);
	strbuf_reset(out);
	if (!expand(&values, reference, out, why))
		return NULL;
	const char *expected = reference_find_fault(out->data, secret->flags & SECRET_IS_PATH, &at);
	if (expected)
		strbuf_addf(why, "with what [Identity] says it is none: expected %s", expected);
	return expected ? NULL : out->data;
}

int identity_check(struct manager *m, uint32_t unit)
{
	struct plan_range range = plan_unit(&m->plan, unit)->secrets;
	char text[SECRETREQUEST_REFERENCE_MAX], reason[WHY_MAX], failure[BOARD_FAILURE_MAX];
	struct strbuf out, why, said;

	strbuf_init(&out, text, sizeof(text));
	strbuf_init(&why, reason, sizeof(reason));
	strbuf_init(&said, failure, sizeof(failure));
	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		const struct plan_secret *secret = plan_secret(&m->plan, i);
		if (identity_fill(m, i, &out, &why))
			continue;
		strbuf_addf(&said, "%s:%u: secret %s: %s: %s", plan_string(&m->plan, secret->file),
			    secret->line, plan_string(&m->plan, secret->name),
			    plan_string(&m->plan, secret->reference), reason);
		board_write_failure(&m->board, unit, failure);
		event_emit(EVENT_ERROR, "secrets-failed", plan_unit_name(&m->plan, unit), "%s",
			   failure);
		return secret_outcome_status[SECRET_MALFORMED];
	}
	return 0;
}

/* The first secret of the plan that needs the variable, or PLAN_NO_UNIT. */
static uint32_t find_user(const struct manager *m, const char *name)
{
	char place[SECRETFILE_NAME_MAX + 4];
	struct strbuf buf;

	strbuf_init(&buf, place, sizeof(place));
	strbuf_addf(&buf, "${%s}", name);
	for (uint32_t i = 0; i < plan_section_count(&m->plan, PLAN_SECRETS); i++) {
		const struct plan_secret *secret = plan_secret(&m->plan, i);
		if ((secret->flags & SECRET_NEEDS_IDENTITY) &&
		    strstr(plan_string(&m->plan, secret->reference), place))
			return i;
	}
	return PLAN_NO_UNIT;
}

void identity_explain(const struct manager *m)
{
	struct plan_range range = plan_unit(&m->plan, m->plan.header->identity_unit)->secrets;

	for (uint32_t i = range.first; i < range.first + range.count; i++) {
		const struct plan_secret *variable = plan_secret(&m->plan, i);
		const char *name = plan_string(&m->plan, variable->name);
		uint32_t user = find_user(m, name);
		if (board_peek_secret(&m->board, i)->outcome == SECRET_OK || user == PLAN_NO_UNIT)
			continue;
		const struct plan_secret *secret = plan_secret(&m->plan, user);
		event_emit(EVENT_ERROR, "identity-missing", NULL,
			   "%s:%u: [Identity] %s=%s cannot be had; %s:%u needs it for %s",
			   plan_string(&m->plan, variable->file), variable->line, name,
			   plan_string(&m->plan, variable->reference),
			   plan_string(&m->plan, secret->file), secret->line,
			   plan_string(&m->plan, secret->reference));
	}
}
