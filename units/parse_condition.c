/*
 * Condition…= and Assert…=: those about files are asked each time the unit starts, those about the
 * host once, here.
 */
#include <string.h>

#include "lib/str.h"
#include "units/condition.h"
#include "units/parsers.h"

static const char *read_flags(const char *text, uint32_t *flags)
{
	if (*text == '|') {
		*flags |= CONDITION_TRIGGER;
		text++;
		text += strspn(text, " \t");
	}
	if (*text == '!') {
		*flags |= CONDITION_NEGATE;
		text++;
		text += strspn(text, " \t");
	}
	return text;
}

void parse_condition(const struct parse *parse, void *target)
{
	const struct condition_row *row = parse->directive->data;
	struct conditions *list = target;
	struct arena *arena = &parse->units->arena;
	struct condition condition = {
		.type = row->type,
		.flags = parse->directive->argument,
		.text = arena_printf(arena, "%s=%s", parse->item->key, parse->value),
		.at = lex_value(parse->item),
	};

	/* An empty value takes back the conditions of every type, and of them alone. */
	if (!*parse->value) {
		size_t kept = 0;
		for (size_t i = 0; i < list->count; i++) {
			if ((list->items[i].flags & CONDITION_ASSERT) !=
			    (parse->directive->argument & CONDITION_ASSERT))
				list->items[kept++] = list->items[i];
		}
		list->count = kept;
		return;
	}
	const char *text = read_flags(parse->value, &condition.flags);
	size_t offset = (size_t)(text - parse->value);
	condition.parameter = row->decide ? parse_expand(parse, text, offset)
					  : parse_absolute(parse, text, offset);
	if (!condition.parameter)
		return;
	if (row->is_known && !row->is_known(condition.parameter))
		report_unknown(&parse->units->report, &condition.at,
			       "%s: \"%s\" is never true: expected %s", parse->item->key,
			       condition.parameter, row->expected);
	if (row->decide)
		condition.parameter = row->decide(parse->units, condition.parameter) ? "yes" : "no";
	if (list->count == UNIT_LINES_MAX)
		parse_error(parse, 0, "more than %d conditions", UNIT_LINES_MAX);
	else
		*LIST_ADD(arena, list) = condition;
}
