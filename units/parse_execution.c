/*
 * What systemd.exec(5) has: environment, rights, limits, directories.
 */
#include <string.h>
#include <sys/resource.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/environment.h"
#include "units/parsers.h"
#include "units/values.h"
#include "units/words.h"

#define DEVICE_LENGTH_MAX 48

void parse_environment(const struct parse *parse, void *target)
{
	struct settings *list = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	if (!*at)
		list->count = 0;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE | WORDS_UNESCAPE, &offset))) {
		size_t length = strcspn(word, "=");
		if (!word[length] || !environment_name_is_valid(word, length)) {
			parse_error(parse, offset, "\"%s\": expected NAME=VALUE", word);
			continue;
		}
		settings_add(&parse->units->arena, list, word, lex_where(parse->item, offset));
	}
}

void parse_environment_file(const struct parse *parse, void *target)
{
	struct settings *list = target;
	bool is_optional = *parse->value == '-';

	if (!*parse->value) {
		list->count = 0;
		return;
	}
	char *path = parse_absolute(parse, parse->value + is_optional, is_optional);
	if (path)
		settings_add(&parse->units->arena, list,
			     is_optional ? arena_printf(&parse->units->arena, "-%s", path) : path,
			     lex_value(parse->item));
}

/*
 * An inverted first assignment starts from all, a plain one from none; later ones add or take away,
 * and an empty one leaves none.
 */
void parse_capabilities(const struct parse *parse, void *target)
{
	uint64_t *set = target, all = (UINT64_C(1) << 41) - 1, named = 0;
	bool is_inverted = *parse->value == '~';
	const char *at = parse->value + is_inverted;
	uint32_t *flags = &parse->unit->plan.flags;
	size_t offset;
	char *word;

	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		uint32_t bit;
		if (value_capability(word, &bit) < 0)
			parse_error(parse, offset,
				    "\"%s\": expected a capability such as CAP_NET_BIND_SERVICE",
				    word);
		else
			named |= UINT64_C(1) << bit;
	}
	if (named == 0 || !(*flags & parse->directive->argument))
		*set = is_inverted ? all & ~named : named;
	else
		*set = is_inverted ? *set & ~named : *set | named;
	*flags |= parse->directive->argument;
}

void parse_limit(const struct parse *parse, void *target)
{
	struct limit *limit = target;

	if (!*parse->value)
		*limit = (struct limit){0};
	else if (value_limit(parse->directive->argument, parse->value, limit) < 0)
		parse_error(parse, 0,
			    "\"%s\": expected a limit, or SOFT:HARD with SOFT not above HARD",
			    parse->value);
}

static bool is_relative_inside(const char *path)
{
	return *path && *path != '/' && strcmp(path, ".") != 0 && strcmp(path, "..") != 0 &&
	       !str_starts(path, "../") && !strstr(path, "/../") && !str_ends(path, "/..") &&
	       !strstr(path, "//");
}

void parse_directories(const struct parse *parse, void *target)
{
	struct settings *list = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	if (!*at)
		list->count = 0;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		char *colon = strchr(word, ':');
		if (colon) {
			parse_warning(parse, offset, "the link \"%s\" is not made", colon + 1);
			*colon = '\0';
		}
		if (is_relative_inside(word))
			settings_add(&parse->units->arena, list, word,
				     lex_where(parse->item, offset));
		else
			parse_error(parse, offset,
				    "\"%s\": expected a relative path without \"..\"", word);
	}
}

void parse_preserve(const struct parse *parse, void *target)
{
	bool keep = false;

	if (strcmp(parse->value, "restart") == 0)
		keep = true;
	else if (*parse->value && str_parse_bool(parse->value, &keep) < 0)
		parse_error(parse, 0, "\"%s\": expected yes, no or restart", parse->value);
	*(uint32_t *)target = keep;
}

enum scratch_option {
	OPTION_SIZE,
	OPTION_INODES,
	OPTION_MODE,
	OPTION_EXEC,
	OPTION_NOEXEC,
	OPTION_READ_ONLY,
	OPTION_READ_WRITE,
	OPTION_DEVICE,
	OPTION_ALWAYS, /* holds already */
	OPTION_COUNT
};

static const struct {
	const char *word;
	enum scratch_option option;
	bool has_value;
} scratch_options[] = {
	{"device", OPTION_DEVICE, true},       {"size", OPTION_SIZE, true},
	{"nr_inodes", OPTION_INODES, true},    {"mode", OPTION_MODE, true},
	{"exec", OPTION_EXEC, false},	       {"noexec", OPTION_NOEXEC, false},
	{"ro", OPTION_READ_ONLY, false},       {"rw", OPTION_READ_WRITE, false},
	{"nosuid", OPTION_ALWAYS, false},      {"nodev", OPTION_ALWAYS, false},
	{"strictatime", OPTION_ALWAYS, false}, {"noatime", OPTION_ALWAYS, false},
	{"relatime", OPTION_ALWAYS, false},
};

/* As lib/device.h has it. */
static bool is_device(const char *value)
{
	static const char *const prefixes[] = {"/dev/", "PARTLABEL=", "PARTUUID="};

	for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++) {
		size_t length = strlen(prefixes[i]);
		if (strncmp(value, prefixes[i], length) == 0)
			return value[length] && value[length] != '.' &&
			       !strchr(value + length, '/') && strlen(value) < DEVICE_LENGTH_MAX;
	}
	return false;
}

static bool set_scratch_value(enum scratch_option option, const char *value,
			      struct scratch *scratch)
{
	switch (option) {
	case OPTION_SIZE: return value_size(value, &scratch->size_bytes) == 0;
	case OPTION_INODES: return value_size(value, &scratch->nr_inodes) == 0;
	case OPTION_MODE:
		scratch->flags |= SCRATCH_OWN_MODE;
		return value_mode(value, &scratch->mode) == 0;
	case OPTION_DEVICE: scratch->device = value; return is_device(value);
	case OPTION_EXEC: scratch->flags |= SCRATCH_EXEC; break;
	case OPTION_NOEXEC: scratch->flags &= ~SCRATCH_EXEC; break;
	case OPTION_READ_ONLY: scratch->flags |= SCRATCH_READ_ONLY; break;
	case OPTION_READ_WRITE: scratch->flags &= ~SCRATCH_READ_ONLY; break;
	default: break;
	}
	return true;
}

static bool set_scratch_option(char *text, struct scratch *scratch)
{
	char *equals = strchr(text, '=');

	if (equals)
		*equals = '\0';
	for (size_t i = 0; i < ARRAY_COUNT(scratch_options); i++) {
		if (strcmp(scratch_options[i].word, text) != 0)
			continue;
		return scratch_options[i].has_value == !!equals &&
		       set_scratch_value(scratch_options[i].option, equals ? equals + 1 : "",
					 scratch);
	}
	return false;
}

bool parse_scratch_options(const struct parse *parse, const char *options, size_t offset,
			   struct scratch *ret_scratch)
{
	struct scratch scratch = *ret_scratch;

	while (*options) {
		size_t length = strcspn(options, ",");
		char *option = arena_copy(&parse->units->arena, options, length);
		if (length > 0 && !set_scratch_option(option, &scratch)) {
			parse_error(
				parse, offset,
				"\"%.*s\": expected size=64M, nr_inodes=N, mode=0750, exec, noexec, "
				"ro, rw, or device= with /dev/NAME, PARTLABEL=NAME or PARTUUID=UUID",
				(int)MIN(length, 200U), options);
			return false;
		}
		options += length + (options[length] == ',');
		offset += length + 1;
	}
	*ret_scratch = scratch;
	return true;
}

/* A unit's own is memory: a disk is the machine's. */
static bool parse_memory_options(const struct parse *parse, const char *options, size_t offset,
				 struct scratch *ret_scratch)
{
	if (!parse_scratch_options(parse, options, offset, ret_scratch))
		return false;
	if (!ret_scratch->device)
		return true;
	parse_error(parse, offset, "device= is for [Scratch] of holdfast.conf");
	return false;
}

void parse_tmpfs(const struct parse *parse, void *target)
{
	struct scratches *list = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	if (!*at)
		list->count = 0;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		struct scratch scratch = {.mode = 0755, .at = lex_where(parse->item, offset)};
		size_t length = strcspn(word, ":");
		bool has_options = word[length] == ':';
		word[length] = '\0';
		scratch.path = parse_absolute(parse, word, offset);
		if (scratch.path &&
		    (!has_options ||
		     parse_memory_options(parse, word + length + 1, offset + length + 1, &scratch)))
			*LIST_ADD(&parse->units->arena, list) = scratch;
	}
}

/* LoadCredential=ID[:PATH]; without a path, or with a name for one, the credential that holdfast
 * itself was given. */
void parse_credential(const struct parse *parse, void *target)
{
	struct secrets *list = target;
	struct arena *arena = &parse->units->arena;

	if (!*parse->value) {
		list->count = 0;
		return;
	}
	char *text = parse_expand(parse, parse->value, 0);
	if (!text)
		return;
	char *colon = strchr(text, ':');
	const char *source = colon ? colon + 1 : text;
	if (colon)
		*colon = '\0';
	if (!*text || strchr(text, '/') || *text == '.' || strlen(text) > 255 || !*source) {
		parse_error(parse, 0, "expected ID:PATH, the ID being the name of a file");
		return;
	}
	*LIST_ADD(arena, list) = (struct secret){
		.name = text,
		.reference = arena_printf(arena, *source == '/' ? "file:%s" : "cred:%s", source),
		.delivery = SECRET_FILE,
		.mode = 0400,
		.at = lex_value(parse->item),
	};
}

void parse_working_directory(const struct parse *parse, void *target)
{
	struct setting *setting = target;
	bool is_optional = *parse->value == '-';
	const char *text = parse->value + is_optional;

	parse->unit->plan.working_directory_optional = is_optional;
	*setting = (struct setting){0};
	if (!*text)
		return;
	if (strcmp(text, "~") != 0)
		text = parse_absolute(parse, text, is_optional);
	if (text)
		*setting = (struct setting){text, lex_value(parse->item)};
}

void parse_nice(const struct parse *parse, void *target)
{
	if (value_int(parse->value, -20, 19, target) < 0)
		parse_error(parse, 0, "\"%s\": expected a number from -20 to 19", parse->value);
	else
		parse->unit->plan.flags |= UNIT_NICE;
}

void parse_oom_score(const struct parse *parse, void *target)
{
	if (!*parse->value)
		parse->unit->plan.flags &= ~UNIT_OOM_SCORE;
	else if (value_int(parse->value, -1000, 1000, target) < 0)
		parse_error(parse, 0, "\"%s\": expected a number from -1000 to 1000", parse->value);
	else
		parse->unit->plan.flags |= UNIT_OOM_SCORE;
}

/* Where output goes is holdfast's to say (the log); all that a unit may say is that it does not. */
void parse_output(const struct parse *parse, void *target)
{
	static const char *const captured[] = {
		"",	"inherit",	   "journal",	     "syslog",
		"kmsg", "journal+console", "syslog+console", "kmsg+console"};
	uint32_t *flags = target;

	if (strcmp(parse->value, "null") == 0) {
		*flags |= parse->directive->argument;
		return;
	}
	*flags &= ~parse->directive->argument;
	for (size_t i = 0; i < ARRAY_COUNT(captured); i++) {
		if (strcmp(parse->value, captured[i]) == 0)
			return;
	}
	parse_warning(parse, 0, "\"%s\" is not honoured: the output goes to the log", parse->value);
}

void parse_dynamic_user(const struct parse *parse, void *target)
{
	parse->unit->dynamic_user_at = lex_value(parse->item);
	if (str_parse_bool(parse->value, target) < 0)
		parse_error(parse, 0, "\"%s\": expected yes or no", parse->value);
}
