/*
 * [X-Templates]: TARGET=SOURCE [format=…] [mode=…]. The key is a name of the user's, so it stands in
 * no table.
 */
#include <string.h>

#include "lib/cleanup.h"
#include "lib/secretfile.h"
#include "lib/str.h"
#include "lib/template.h"
#include "units/parsers.h"
#include "units/values.h"
#include "units/words.h"

static bool is_target(const char *name)
{
	size_t length = strlen(name);

	return length > 0 && length <= SECRETFILE_NAME_MAX && *name != '.' && !strchr(name, '/');
}

static bool is_source(const char *path)
{
	return *path == '/' && path[1] && !strstr(path, "/../") && !str_ends(path, "/..") &&
	       !str_ends(path, "/");
}

static bool parse_option(const struct parse *parse, const char *word, size_t offset,
			 struct template *template)
{
	if (str_starts(word, "mode=") && value_mode(word + 5, &template->mode) == 0 &&
	    template->mode <= 0777)
		return true;
	if (str_starts(word, "format=")) {
		const char *name = word + strlen("format=");
		template->format = template_format_find(name, strlen(name));
		template->is_json = false;
		if (template->format != TEMPLATE_UNKNOWN)
			return true;
	}
	parse_error(parse, offset,
		    "\"%s\": expected format= with raw, json, ini, env or number, or mode=0400",
		    word);
	return false;
}

/* What the target's name says holds, else the source's: app.json from app.json.in. */
static void choose_format(struct template *template)
{
	const char *speaking = template->target;

	if (template_format_of(speaking) == TEMPLATE_UNKNOWN)
		speaking = template->source;
	template->format = template_format_of(speaking);
	template->is_json = template_is_json(speaking);
}

static void remove_target(struct templates *list, const char *target)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].target, target) != 0)
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

/* The later one holds, as everywhere; within one file that may be a slip. */
static void add(const struct parse *parse, struct templates *list, struct template template)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct template *old = &list->items[i];
		if (strcmp(old->target, template.target) == 0 && old->at.file && template.at.file &&
		    strcmp(old->at.file, template.at.file) == 0)
			parse_warning(parse, 0, "it stands in line %u, too: the later one holds",
				      old->at.line);
	}
	remove_target(list, template.target);
	if (list->count < UNIT_LINES_MAX)
		*LIST_ADD(&parse->units->arena, list) = template;
}

static bool read_source(const struct parse *parse, const char **at, struct template *template)
{
	size_t offset;

	template->source = parse_word(parse, at, WORDS_UNQUOTE, &offset);
	if (!template->source)
		return false;
	if (is_source(template->source))
		return true;
	parse_error(parse, offset, "\"%s\": expected the absolute path of a file of the image",
		    template->source);
	return false;
}

void parse_template(const struct parse *parse, void *target)
{
	struct template template = {.mode = 0400, .at = lex_value(parse->item)};
	const char *at = parse->value;
	size_t offset;
	char *word;

	template.target = parse_expand(parse, parse->item->key, 0);
	if (!template.target)
		return;
	if (!is_target(template.target)) {
		report_error(&parse->units->report, &parse->item->at,
			     "%s=: expected the name of a file, without /, and behind \"=\" the "
			     "path of its template",
			     template.target);
		return;
	}
	if (!*at) {
		remove_target(target, template.target);
		return;
	}
	if (!read_source(parse, &at, &template))
		return;
	choose_format(&template);
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		if (!parse_option(parse, word, offset, &template))
			return;
	}
	if (!*at)
		add(parse, target, template);
}
