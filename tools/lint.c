/*
 * The engine: every judge sees every file, findings are kept with their layer, and in the end those
 * that no instance would see are dropped, but for secrets: a layer that hides one still has it, and
 * whoever can pull the image can read it.
 */
#include "tools/lint.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "tools/lint_rules.h"

#define MESSAGE_MAX 512

struct finding {
	enum lint_rule rule;
	char *path, *message;
	size_t layer;
	bool is_link; /* matters only if it leads to something */
};

struct lint {
	const char *const *allowed;
	struct finding *found;
	size_t n_found, capacity;
	bool is_out_of_memory, is_link;
	struct lint_finding *findings; /* of found, those that hold */
	size_t n_findings;
};

static const struct {
	const char *name;
	bool is_error, holds_when_hidden;
} rules[LINT_RULE_COUNT] = {
#define X(id, name, is_error, holds_when_hidden) {name, is_error, holds_when_hidden},
	LINT_RULES(X)
#undef X
};

static void (*const judges[])(struct lint *, const struct image_file *) = {
	lint_names, lint_programs, lint_modes, lint_configuration, lint_passwords, lint_secrets,
};

struct lint *lint_create(const char *const *allowed)
{
	struct lint *lint = calloc(1, sizeof(*lint));

	if (lint)
		lint->allowed = allowed;
	return lint;
}

void lint_free(struct lint *lint)
{
	if (!lint)
		return;
	for (size_t i = 0; i < lint->n_found; i++) {
		free(lint->found[i].path);
		free(lint->found[i].message);
	}
	free(lint->found);
	free(lint->findings);
	free(lint);
}

/* ---------------------------------------------------------------- what is allowed */

static bool is_rule(const char *text, const char *name)
{
	size_t length = strlen(name);

	return strncmp(text, name, length) == 0 && (!text[length] || text[length] == ':');
}

const char *lint_unknown_rule(const struct lint *lint)
{
	for (const char *const *allowed = lint->allowed; *allowed; allowed++) {
		bool is_known = false;
		for (size_t i = 0; i < LINT_RULE_COUNT; i++)
			is_known = is_known || is_rule(*allowed, rules[i].name);
		if (!is_known)
			return *allowed;
	}
	return NULL;
}

static bool is_allowed(const struct lint *lint, const struct finding *finding)
{
	const char *name = rules[finding->rule].name;

	for (const char *const *allowed = lint->allowed; *allowed; allowed++) {
		const char *pattern = *allowed + strlen(name);
		if (is_rule(*allowed, name) &&
		    (!*pattern || fnmatch(pattern + 1, finding->path, 0) == 0))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- finding */

void lint_say(struct lint *lint, enum lint_rule rule, const char *path, size_t layer,
	      const char *format, ...)
{
	char text[MESSAGE_MAX];
	struct finding finding = {.rule = rule, .layer = layer, .is_link = lint->is_link};
	struct strbuf message;
	va_list args;

	strbuf_init(&message, text, sizeof(text));
	va_start(args, format);
	strbuf_vaddf(&message, format, args);
	va_end(args);
	if (lint->n_found == lint->capacity) {
		size_t capacity = lint->capacity ? 2 * lint->capacity : 64;
		struct finding *grown = reallocarray(lint->found, capacity, sizeof(*grown));
		if (!grown) {
			lint->is_out_of_memory = true;
			return;
		}
		lint->found = grown;
		lint->capacity = capacity;
	}
	finding.path = strdup(path);
	finding.message = strdup(text);
	lint->is_out_of_memory |= !finding.path || !finding.message;
	lint->found[lint->n_found++] = finding;
}

static int visit(void *context, const struct image_file *file)
{
	struct lint *lint = context;

	lint->is_link = S_ISLNK(file->mode);
	for (size_t i = 0; i < ARRAY_COUNT(judges); i++)
		judges[i](lint, file);
	lint->is_link = false;
	return lint->is_out_of_memory ? -ENOMEM : 0;
}

struct image_visitor lint_visitor(struct lint *lint)
{
	return (struct image_visitor){.visit = visit, .context = lint};
}

/* ---------------------------------------------------------------- the end */

static bool holds(const struct image *image, const struct finding *finding)
{
	if (finding->is_link && !image_reaches(image, finding->path))
		return false;
	return *finding->path != '/' || rules[finding->rule].holds_when_hidden ||
	       image_shows(image, finding->path, finding->layer);
}

static int compare(const void *a, const void *b)
{
	const struct lint_finding *left = a, *right = b;
	int order = strcmp(left->path, right->path);

	return order ? order : (left->layer > right->layer) - (left->layer < right->layer);
}

int lint_finish(struct lint *lint, const struct image *image)
{
	const struct image_config *config = image_config(image);

	if (config)
		lint_image_config(lint, config);
	lint->findings = calloc(lint->n_found + 1, sizeof(*lint->findings));
	if (!lint->findings || lint->is_out_of_memory)
		return -ENOMEM;
	for (size_t i = 0; i < lint->n_found; i++) {
		const struct finding *found = &lint->found[i];
		if (!holds(image, found))
			continue;
		lint->findings[lint->n_findings++] = (struct lint_finding){
			.rule = rules[found->rule].name,
			.path = found->path,
			.message = found->message,
			.is_error = rules[found->rule].is_error,
			.is_allowed = is_allowed(lint, found),
			.layer = found->layer,
		};
	}
	qsort(lint->findings, lint->n_findings, sizeof(*lint->findings), compare);
	return 0;
}

size_t lint_findings(const struct lint *lint, const struct lint_finding **ret_findings)
{
	*ret_findings = lint->findings;
	return lint->n_findings;
}
