/*
 * ExecPaths= and its like: which paths a unit's processes may run, read and write.
 */
#include <string.h>

#include "units/parsers.h"
#include "units/words.h"

/* "-": it may be missing; "+": it lies below RootDirectory=. systemd takes them in this order. */
static const char *take_prefixes(const char *word, struct allowed_path *path)
{
	path->is_optional = *word == '-';
	word += path->is_optional;
	path->is_inside = *word == '+';
	return word + path->is_inside;
}

void parse_allowed_paths(const struct parse *parse, void *target)
{
	struct allowed_paths *list = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	if (!*at)
		list->count = 0;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		struct allowed_path path = {.at = lex_where(parse->item, offset)};
		const char *text = take_prefixes(word, &path);
		if (list->count == UNIT_LINES_MAX) {
			parse_error(parse, offset, "more than %d paths", UNIT_LINES_MAX);
			return;
		}
		path.path = parse_absolute(parse, text, offset + (size_t)(text - word));
		if (path.path)
			*LIST_ADD(&parse->units->arena, list) = path;
	}
}
