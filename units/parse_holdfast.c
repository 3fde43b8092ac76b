/*
 * holdfast's own sections, but for secrets: probes with Kubernetes' names and meaning.
 */
#include <string.h>

#include "lib/str.h"
#include "units/parsers.h"
#include "units/values.h"
#include "units/words.h"

void parse_drain(const struct parse *parse, void *target)
{
	parse->unit->has_drain = true;
	parse_span(parse, target);
}

void parse_sandbox_allow(const struct parse *parse, void *target)
{
	uint32_t *groups = target, group;
	const char *at = parse->value;
	char words[256];
	size_t offset;
	char *word;

	if (!*at)
		*groups = 0;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		if (value_enum(word, call_group_names, CALL_GROUP_COUNT, &group) == 0) {
			*groups |= UINT32_C(1) << group;
			continue;
		}
		value_enum_words(call_group_names, CALL_GROUP_COUNT, words, sizeof(words));
		parse_error(parse, offset, "\"%s\": expected %s", word, words);
	}
}

/* A probe has one way of asking; an empty value takes it back. */
static bool begin_probe(const struct parse *parse, struct probe *probe, enum probe_type type)
{
	if (!*parse->value) {
		probe->type = PROBE_NONE;
		return false;
	}
	if (probe->type != PROBE_NONE && probe->type != (uint32_t)type) {
		parse_error(parse, 0, "expected one of HTTPGet=, TCPSocket= and Exec=, not two");
		return false;
	}
	probe->type = type;
	return true;
}

/* "localhost" becomes 127.0.0.1: nobody here asks a name server. NULL: no such address. */
static char *probe_address(struct arena *arena, const char *text)
{
	char *address = str_starts(text, "localhost:")
				? arena_printf(arena, "127.0.0.1:%s", text + 10)
			: *text == ':' ? arena_printf(arena, "127.0.0.1%s", text)
			: text[strspn(text, "0123456789")] == '\0'
				? arena_printf(arena, "127.0.0.1:%s", text)
				: arena_string(arena, text);

	return parse_is_address(address) ? address : NULL;
}

void parse_http_get(const struct parse *parse, void *target)
{
	struct arena *arena = &parse->units->arena;
	struct probe *probe = target;

	if (!begin_probe(parse, probe, PROBE_HTTP))
		return;
	char *text = parse_expand(parse, parse->value, 0);
	if (!text)
		return;
	const char *rest = str_starts(text, "http://") ? text + 7 : text;
	size_t length = strcspn(rest, "/");
	char *address = probe_address(arena, arena_copy(arena, rest, length));
	if (!address || rest[strcspn(rest, " \t\"\\")]) {
		parse_error(parse, 0,
			    "\"%s\": expected http://ADDRESS:PORT/PATH with a numeric address",
			    text);
		return;
	}
	probe->target =
		arena_printf(arena, "http://%s%s", address, rest[length] ? rest + length : "/");
}

void parse_tcp_socket(const struct parse *parse, void *target)
{
	struct probe *probe = target;

	if (!begin_probe(parse, probe, PROBE_TCP))
		return;
	char *text = parse_expand(parse, parse->value, 0);
	if (!text)
		return;
	probe->target = probe_address(&parse->units->arena, text);
	if (!probe->target)
		parse_error(parse, 0, "\"%s\": expected a port, or a numeric ADDRESS:PORT", text);
}

void parse_probe_exec(const struct parse *parse, void *target)
{
	struct probe *probe = target;

	probe->exec.count = 0;
	if (!begin_probe(parse, probe, PROBE_EXEC))
		return;
	if (parse_commands(parse, &probe->exec) && probe->exec.count != 1)
		parse_error(parse, 0, "expected one command");
}
