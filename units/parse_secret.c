/*
 * What a unit says of secrets: which, where from, where to, and what becomes of them while it runs.
 */
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/secretfile.h"
#include "lib/str.h"
#include "units/environment.h"
#include "units/identity.h"
#include "units/parsers.h"
#include "lib/reference.h"
#include "units/values.h"
#include "units/words.h"

#define REFRESH_MIN_US USEC_PER_SEC
#define REFRESH_MAX_US (UINT64_C(365) * 24 * 3600 * USEC_PER_SEC)
#define REFERENCE_MAX  4096 /* as lib/secretrequest.h carries them */

/* In a container the environment holds; on a host it is the kernel's, and is not asked. */
static const char *find_variable(const struct parse *parse, const char *name, size_t length,
				 bool *ret_is_pending)
{
	const struct units_request *request = &parse->units->request;
	const char *const *environment = request->is_host ? NULL : request->environment;

	for (; environment && *environment; environment++) {
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	}
	return identity_find(parse->units, name, length, ret_is_pending);
}

/* A reference with its variables filled in, and as it will look when the others are. */
struct filled {
	struct text text, sample;
	bool is_pending;
};

static void add_value(struct filled *filled, const char *name, size_t length, const char *value,
		      bool is_pending)
{
	/* What will stand there is not known yet: this is enough to check the rest. */
	text_adds(&filled->sample, value && !is_pending ? value : "VALUE");
	filled->is_pending = filled->is_pending || is_pending;
	if (!is_pending) {
		text_adds(&filled->text, value ? value : "VALUE");
		return;
	}
	text_adds(&filled->text, "${");
	for (size_t i = 0; i < length; i++)
		text_addc(&filled->text, name[i]);
	text_addc(&filled->text, '}');
}

/* ${VAR} in a reference: one image serves many environments. False after an error. */
static bool fill_in(const struct parse *parse, const char *text, size_t offset,
		    struct filled *filled)
{
	const char *at = text, *value;

	while (*at) {
		if (at[0] != '$' || at[1] != '{') {
			text_addc(&filled->text, *at);
			text_addc(&filled->sample, *at++);
			continue;
		}
		size_t length = strcspn(at + 2, "}"), place = offset + (size_t)(at - text);
		struct where where = lex_where(parse->item, place);
		if (at[2 + length] != '}' || !environment_name_is_valid(at + 2, length)) {
			parse_error(parse, place, "expected ${NAME}");
			return false;
		}
		bool is_pending = false;
		value = find_variable(parse, at + 2, length, &is_pending);
		if (!value && parse->units->request.environment) {
			report_absence(&parse->units->report, &where, EX_CONFIG,
				       "%s=: ${%.*s} is not set in %s[Identity]", parse->item->key,
				       (int)MIN(length, 200U), at + 2,
				       parse->units->request.is_host
					       ? ""
					       : "holdfast's environment nor in ");
			return false;
		}
		/* Nothing is filled in twice. */
		if (value && strstr(value, "${")) {
			parse_error(parse, place, "${%.*s}: its value has a variable in it",
				    (int)MIN(length, 200U), at + 2);
			return false;
		}
		add_value(filled, at + 2, length, value, is_pending);
		at += length + 3;
	}
	return true;
}

/* Never says the value of a variable that was filled in: it says what stands in the file. */
static bool check_reference(const struct parse *parse, uint32_t flags, const char *sample,
			    const char *written, size_t offset)
{
	bool is_path = flags & SECRET_IS_PATH;
	size_t at;

	if (strlen(sample) >= REFERENCE_MAX) {
		parse_error(parse, offset, "a reference of more than %d bytes", REFERENCE_MAX - 1);
		return false;
	}
	const char *expected = reference_find_fault(sample, is_path, &at);
	if (!expected)
		return true;
	/* Behind a variable that was filled in columns are not those of the file. */
	size_t same = 0;
	while (written[same] && written[same] == sample[same])
		same++;
	parse_error(parse, offset + MIN(at, same), "expected %s", expected);
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

/* The later one holds, as everywhere; within one file that may be a slip. */
static void add_secret(const struct parse *parse, struct secrets *list, struct secret secret)
{
	for (size_t i = 0; i < list->count; i++) {
		struct secret *old = &list->items[i];
		if ((secret.flags & SECRET_IS_PATH) || strcmp(old->name, secret.name) != 0)
			continue;
		if (old->at.file && secret.at.file && strcmp(old->at.file, secret.at.file) == 0)
			parse_warning(parse, 0, "%s stands in line %u, too: the later one holds",
				      secret.name, old->at.line);
		*old = secret;
		return;
	}
	if (list->count < UNIT_LINES_MAX)
		*LIST_ADD(&parse->units->arena, list) = secret;
}

static bool read_name(const struct parse *parse, const char **at, struct secret *secret)
{
	size_t offset;

	secret->name = parse_word(parse, at, WORDS_UNQUOTE, &offset);
	if (!secret->name)
		return false;
	if (name_fits(secret->delivery, secret->name))
		return true;
	parse_error(parse, offset, "\"%s\": expected %s", secret->name,
		    secret->delivery == SECRET_FILE
			    ? "the name of a file, without / and ="
			    : "the name of a variable: letters, digits and _");
	return false;
}

/* The reference and its options. */
static void read_rest(const struct parse *parse, const char *at, struct secrets *list,
		      struct secret *secret)
{
	size_t offset;
	char *word = parse_word(parse, &at, WORDS_UNQUOTE, &offset);

	if (!word && !*at)
		parse_error(parse, (size_t)(at - parse->value),
			    "expected a reference behind the name");
	struct filled filled = {
		{.arena = &parse->units->arena}, {.arena = &parse->units->arena}, false};
	if (!word || !fill_in(parse, word, offset, &filled) ||
	    !check_reference(parse, secret->flags, text_end(&filled.sample), word, offset))
		return;
	if (filled.is_pending && str_starts(word, "cred:")) {
		parse_error(parse, offset,
			    "a credential is opened at boot: expected its name, or "
			    "variables that are known then");
		return;
	}
	secret->reference = text_end(&filled.text);
	secret->is_pending = filled.is_pending;
	secret->written = secret->flags & SECRET_IS_PATH ? word : NULL;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		if (!parse_secret_option(parse, word, offset, secret))
			return;
	}
	if (!*at)
		add_secret(parse, list, *secret);
}

static void read_secret(const struct parse *parse, struct secrets *list, struct secret secret)
{
	const char *at = parse->value;

	secret.at = lex_value(parse->item);
	if (!*at)
		list->count = 0;
	else if (read_name(parse, &at, &secret))
		read_rest(parse, at, list, &secret);
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

/* The empty value takes all paths back, and nothing else. */
void parse_secret_path(const struct parse *parse, void *target)
{
	struct secrets *list = target;
	struct secret secret = {.name = "",
				.delivery = SECRET_ENVIRONMENT,
				.flags = SECRET_IS_PATH,
				.at = lex_value(parse->item)};
	size_t kept = 0;

	if (*parse->value) {
		read_rest(parse, parse->value, list, &secret);
		return;
	}
	for (size_t i = 0; i < list->count; i++) {
		if (!(list->items[i].flags & SECRET_IS_PATH))
			list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

void parse_on_change(const struct parse *parse, void *target)
{
	struct plan_unit *plan = target;
	uint32_t number = 0;

	if (strcmp(parse->value, "none") == 0)
		plan->on_change = CHANGE_NONE;
	else if (strcmp(parse->value, "restart") == 0)
		plan->on_change = CHANGE_RESTART;
	else if (str_starts(parse->value, "signal:") &&
		 value_signal(parse->value + strlen("signal:"), &number) == 0)
		plan->on_change = CHANGE_SIGNAL;
	else
		parse_error(parse, 0, "\"%s\": expected none, restart or signal:NAME",
			    parse->value);
	plan->change_signal = number;
}

void parse_refresh(const struct parse *parse, void *target)
{
	struct plan_unit *plan = target;
	uint64_t us = 0;

	if (strcmp(parse->value, "never") == 0)
		plan->refresh_us = 0;
	else if (value_span(parse->value, &us) < 0 || us < REFRESH_MIN_US || us > REFRESH_MAX_US)
		parse_error(parse, 0, "\"%s\": expected never, or a time span from 1s to 365d",
			    parse->value);
	else
		plan->refresh_us = us;
}
