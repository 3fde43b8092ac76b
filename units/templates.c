#include "units/templates.h"

#include <errno.h>
#include <string.h>

#include "lib/fd.h"
#include "lib/template.h"
#include "lib/trust.h"
#include "units/source.h"

static int find_name(void *context, const char *name, struct template_value *ret_value)
{
	const struct secrets *list = context;
	bool has_path = false;

	*ret_value = (struct template_value){.data = ""};
	for (size_t i = 0; i < list->count; i++) {
		has_path = has_path || (list->items[i].flags & SECRET_IS_PATH);
		if (*list->items[i].name && strcmp(list->items[i].name, name) == 0)
			return 1;
	}
	/* What lies below a path is known when it was fetched. */
	return has_path ? 0 : -ENOENT;
}

static void check_text(struct units *units, const struct unit *unit,
		       const struct template *template, const char *text, size_t size)
{
	struct template_fault fault;
	struct template_request request = {
		.text = text,
		.size = size,
		.format = template->format,
		.is_json = template->is_json,
		.find = find_name,
		.context = (void *)(uintptr_t)&unit->secrets,
	};

	if (template_render(&request, &fault) == 0)
		return;
	struct where at = {template->source, fault.line, fault.column};
	report_error(&units->report, &at, "template of %s: %s%s%s%s", unit->name.full,
		     *fault.name ? "{{ " : "", fault.name, *fault.name ? " }}: " : "",
		     fault.message);
}

/* In boot alone: elsewhere the tree is somebody's work, and nobody is lent root's rights. */
static void check_place(struct units *units, const struct unit *unit,
			const struct template *template)
{
	bool is_writable;
	char why[512];

	if (!units->request.environment)
		return;
	int fd =
		trust_open(units->source.root_fd, template->source, &is_writable, why, sizeof(why));
	if (fd == -EPERM && why[0])
		report_error(
			&units->report, &template->at,
			"[X-Templates] %s=: %s, and %s would be read with root's rights: expected "
			"a file on a read-only mount, or one that only root may write to, as all "
			"directories above it",
			template->target, why, template->source);
	else if (fd >= 0 && is_writable)
		report_warning(
			&units->report, &template->at,
			"[X-Templates] %s=: %s lies on a mount that is writable: a service of "
			"root could replace it (%s)",
			template->target, template->source, unit->name.full);
	(void)fd_close(fd);
}

static void check_template(struct units *units, const struct unit *unit,
			   const struct template *template)
{
	char *text;
	size_t size = 0;
	int r = source_read(&units->source, template->source, TEMPLATE_SOURCE_MAX, &text, &size);

	if (r == 0)
		check_text(units, unit, template, text, size);
	else
		report_absence(&units->report, &template->at, r == -EACCES ? EX_NOPERM : EX_NOINPUT,
			       "[X-Templates] %s=: %s cannot be read: %s", template->target,
			       template->source, source_strerror(-r));
}

static void check_name(struct units *units, const struct unit *unit,
		       const struct template *template)
{
	for (size_t i = 0; i < unit->secrets.count; i++) {
		const struct secret *secret = &unit->secrets.items[i];
		if (secret->delivery == SECRET_FILE && strcmp(secret->name, template->target) == 0)
			report_error(&units->report, &template->at,
				     "[X-Templates] %s=: SecretFile= in line %u makes a file of "
				     "that name: expected another",
				     template->target, secret->at.line);
	}
}

void templates_check(struct units *units, const struct unit *unit)
{
	for (size_t i = 0; i < unit->templates.count; i++) {
		check_name(units, unit, &unit->templates.items[i]);
		check_template(units, unit, &unit->templates.items[i]);
		check_place(units, unit, &unit->templates.items[i]);
	}
}
