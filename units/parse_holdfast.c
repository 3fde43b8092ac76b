/*
 * holdfast's own sections: secrets, and probes with Kubernetes' names and meaning.
 */
#include <string.h>

#include "lib/cleanup.h"
#include "lib/secretfile.h"
#include "lib/str.h"
#include "units/environment.h"
#include "units/parsers.h"
#include "units/values.h"
#include "units/words.h"

#define REFERENCE_MAX 4096 /* as lib/secretrequest.h carries them */

static const char *find_variable(const struct parse *parse, const char *name, size_t length)
{
	const struct settings *identity = &parse->units->conf.identity;
	const char *const *environment = parse->units->request.environment;

	for (size_t i = identity->count; i > 0; i--) {
		const char *text = identity->items[i - 1].text;
		if (strncmp(text, name, length) == 0 && text[length] == '=')
			return text + length + 1;
	}
	for (; environment && *environment; environment++) {
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	}
	return NULL;
}

/* ${VAR} in a reference: one image serves many environments. NULL after an error. */
static char *fill_in(const struct parse *parse, const char *text, size_t offset)
{
	struct text out = {.arena = &parse->units->arena};
	const char *at = text, *value;

	while (*at) {
		if (at[0] != '$' || at[1] != '{') {
			text_addc(&out, *at++);
			continue;
		}
		size_t length = strcspn(at + 2, "}"), place = offset + (size_t)(at - text);
		struct where where = lex_where(parse->item, place);
		if (at[2 + length] != '}' || !environment_name_is_valid(at + 2, length)) {
			parse_error(parse, place, "expected ${NAME}");
			return NULL;
		}
		value = find_variable(parse, at + 2, length);
		if (!value && parse->units->request.environment) {
			report_absence(&parse->units->report, &where, EX_CONFIG,
				       "%s=: ${%.*s} is not set in holdfast's environment nor in "
				       "[Identity]",
				       parse->item->key, (int)MIN(length, 200U), at + 2);
			return NULL;
		}
		/* Not known yet: what stands there is enough to check the rest. */
		text_adds(&out, value ? value : "VALUE");
		at += length + 3;
	}
	return text_end(&out);
}

static bool is_file_reference(const char *text)
{
	return *text == '/' && text[1] && !strstr(text, "/../") && !str_ends(text, "/..");
}

static bool is_env_reference(const char *text)
{
	return environment_name_is_valid(text, strlen(text));
}

static bool is_credential_reference(const char *text)
{
	return *text && *text != '.' && !strchr(text, '/') && strlen(text) <= 255;
}

static const struct {
	const char *prefix, *expected;
	bool (*is_valid)(const char *rest); /* NULL: comes with the cloud sources */
} schemes[] = {
	{"file:", "file: and an absolute path", is_file_reference},
	{"env:", "env: and the name of a variable", is_env_reference},
	{"cred:", "cred: and the name of a credential", is_credential_reference},
	{"ssm:", NULL, NULL},
	{"asm:", NULL, NULL},
	{"vault:", NULL, NULL},
};

/* Never says the value of a variable that was filled in: it says what stands in the file. */
static bool check_reference(const struct parse *parse, const char *reference, size_t offset)
{
	if (strlen(reference) >= REFERENCE_MAX) {
		parse_error(parse, offset, "a reference of more than %d bytes", REFERENCE_MAX - 1);
		return false;
	}
	for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
		if (!str_starts(reference, schemes[i].prefix))
			continue;
		if (!schemes[i].is_valid) {
			parse_error(
				parse, offset,
				"%s comes with the cloud sources, which this version does not have: "
				"expected file:, env: or cred:",
				schemes[i].prefix);
			return false;
		}
		if (schemes[i].is_valid(reference + strlen(schemes[i].prefix)))
			return true;
		parse_error(parse, offset, "expected %s", schemes[i].expected);
		return false;
	}
	parse_error(parse, offset,
		    "expected a reference: file:PATH, env:NAME or cred:NAME (later ssm:, asm:, "
		    "vault:)");
	return false;
}

static bool name_fits(uint32_t delivery, const char *name)
{
	size_t length = strlen(name);

	if (length > SECRETFILE_NAME_MAX)
		return false;
	if (delivery != SECRET_FILE)
		return environment_name_is_valid(name, length);
	return length > 0 && *name != '.' && !strpbrk(name, "/=");
}

static bool parse_secret_option(const struct parse *parse, const char *word, size_t offset,
				struct secret *secret)
{
	if (strcmp(word, "optional") == 0) {
		secret->flags |= SECRET_OPTIONAL;
		return true;
	}
	if (secret->delivery == SECRET_FILE && str_starts(word, "mode=") &&
	    value_mode(word + 5, &secret->mode) == 0 && secret->mode <= 0777)
		return true;
	parse_error(parse, offset, "\"%s\": expected optional%s", word,
		    secret->delivery == SECRET_FILE ? " or mode=0400" : "");
	return false;
}

static void add_secret(struct units *units, struct secrets *list, struct secret secret)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].name, secret.name) == 0) {
			list->items[i] = secret;
			return;
		}
	}
	*LIST_ADD(&units->arena, list) = secret;
}

static void read_secret(const struct parse *parse, struct secrets *list, struct secret secret)
{
	const char *at = parse->value;
	size_t offset;

	if (!*at) {
		list->count = 0;
		return;
	}
	secret.at = lex_value(parse->item);
	secret.name = parse_word(parse, &at, WORDS_UNQUOTE, &offset);
	if (!secret.name)
		return;
	if (!name_fits(secret.delivery, secret.name)) {
		parse_error(parse, offset, "\"%s\": expected %s", secret.name,
			    secret.delivery == SECRET_FILE
				    ? "the name of a file, without / and ="
				    : "the name of a variable: letters, digits and _");
		return;
	}
	char *word = parse_word(parse, &at, WORDS_UNQUOTE, &offset);
	if (!word && !*at)
		parse_error(parse, (size_t)(at - parse->value),
			    "expected a reference behind the name");
	secret.reference = word ? fill_in(parse, word, offset) : NULL;
	if (!secret.reference || !check_reference(parse, secret.reference, offset))
		return;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		if (!parse_secret_option(parse, word, offset, &secret))
			return;
	}
	if (!*at && list->count < UNIT_LINES_MAX)
		add_secret(parse->units, list, secret);
}

void parse_secret(const struct parse *parse, void *target)
{
	read_secret(parse, target,
		    (struct secret){.delivery = parse->directive->argument, .mode = 0400});
}

void parse_config(const struct parse *parse, void *target)
{
	read_secret(parse, target,
		    (struct secret){.delivery = SECRET_ENVIRONMENT, .flags = SECRET_IS_CONFIG});
}

void parse_secret_path(const struct parse *parse, void *target)
{
	(void)target;
	parse_error(parse, 0,
		    "comes with the cloud sources, which this version does not have: expected "
		    "Secret=NAME REFERENCE");
}

void parse_drain(const struct parse *parse, void *target)
{
	parse->unit->has_drain = true;
	parse_span(parse, target);
}

void parse_on_change(const struct parse *parse, void *target)
{
	(void)target;
	if (strcmp(parse->value, "none") != 0)
		parse_warning(parse, 0, "\"%s\" is not honoured yet: secrets are not refreshed",
			      parse->value);
}

void parse_refresh(const struct parse *parse, void *target)
{
	(void)target;
	if (strcmp(parse->value, "never") != 0)
		parse_warning(parse, 0, "\"%s\" is not honoured yet: secrets are not refreshed",
			      parse->value);
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
