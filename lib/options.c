/*
 * One table names every option, its argument and what it does. The grammar is getopt_long's as far
 * as people use it: -g, -ge 143, -e143, --remap 143, --remap=143. An optional argument must be
 * attached (-w5, -w=5, --wait-all=5). Options end at `--`; there is no permutation.
 */
#include "lib/options.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/str.h"

#define GRACE_MAX_S (366 * 24 * 3600)

const char options_help[] =
	"usage: holdfast [--conf FILE] [--units DIR] [--stop-timeout S]   boot, then run the units\n"
	"       holdfast [OPTION...] -- COMMAND [ARGUMENT...]             run one command\n"
	"\n"
	"  -g, --group               signal the command's process group\n"
	"  -e, --remap N             exit with 0 when the command exits with N (repeatable)\n"
	"  -r, --rewrite A:B         pass on signal B where A was received; 0 drops it (repeatable)\n"
	"  -p, --pdeathsig SIGNAL    be sent SIGNAL when the parent process dies\n"
	"  -w, --wait-all[=SECONDS]  when the command has ended, TERM what is left, and KILL it\n"
	"                            after SECONDS (10)\n"
	"  -h, --help                print this and exit\n"
	"      --version             print the version and exit\n"
	"\n"
	"With one of these the command runs under the supervisor:\n"
	"      --health[=ADDRESS:PORT]  serve /health\n"
	"      --secret NAME=REFERENCE  a secret for the command's environment\n"
	"      --config NAME=REFERENCE  the same for a value that is not secret\n"
	"      --scratch PATH[:OPTIONS] writable memory at PATH\n"
	"      --user USER              run the command as USER\n"
	"      --sandbox strict|unit|none  how far it is held in (unit)\n"
	"      --as UNIT                as a one-off of UNIT: its user, environment, secrets,\n"
	"                               directories, limits and sandbox\n"
	"\n"
	"holdfast(1) has the rest, holdfast.conf(5) and holdfast.unit(5) what is run.\n";

enum argument { ARGUMENT_NONE, ARGUMENT_REQUIRED, ARGUMENT_OPTIONAL };

enum scope {
	SCOPE_COMMAND, /* says something about the command after `--` */
	SCOPE_MANAGED, /* needs the supervisor */
	SCOPE_ALONE,   /* --help */
};

struct parser {
	struct options *options;
	struct strbuf message;
	const char *shown;	  /* the option as it was written */
	const char *name;	  /* its row's */
	const char *command_only; /* the first option that makes no sense without `--` */
};

struct row {
	char letter;
	const char *name;
	enum argument argument;
	enum scope scope;
	/* value is NULL where an optional argument was left out. */
	int (*apply)(struct parser *parser, const char *value);
};

static int fail(struct parser *parser, const char *expected)
{
	strbuf_addf(&parser->message, "%s: %s", parser->shown, expected);
	return -EINVAL;
}

static int apply_group(struct parser *parser, const char *value)
{
	(void)value;
	parser->options->is_group = true;
	return 0;
}

static int apply_remap(struct parser *parser, const char *value)
{
	uint64_t status;

	if (str_parse_u64(value, 255, &status) < 0)
		return fail(parser, "expected an exit status from 0 to 255");
	parser->options->remap_to_zero[status] = true;
	return 0;
}

static int apply_pdeathsig(struct parser *parser, const char *value)
{
	int signal = signals_parse(value);

	if (signal < 0)
		return fail(parser, "expected a signal, such as TERM or 15");
	parser->options->pdeath_signal = signal;
	return 0;
}

static int apply_wait_all(struct parser *parser, const char *value)
{
	uint64_t seconds = OPTIONS_GRACE_S;

	if (value && str_parse_u64(value, GRACE_MAX_S, &seconds) < 0)
		return fail(parser, "expected a number of seconds");
	parser->options->is_wait_all = true;
	parser->options->grace_s = (uint32_t)seconds;
	return 0;
}

static int apply_rewrite(struct parser *parser, const char *value)
{
	struct options *options = parser->options;
	const char *colon = strchr(value, ':');
	char name[16];
	size_t length = colon ? (size_t)(colon - value) : 0;

	if (length == 0 || length >= sizeof(name))
		return fail(parser, "expected A:B, two signals, such as TERM:QUIT; B may be 0");
	memcpy(name, value, length);
	name[length] = '\0';
	int from = signals_parse(name);
	int to = str_equal(colon + 1, "0") ? 0 : signals_parse(colon + 1);
	if (from < 0 || to < 0)
		return fail(parser, "expected A:B, two signals, such as TERM:QUIT; B may be 0");
	if (!signals_is_forwarded(from))
		return fail(parser, "that signal is never passed on, so it cannot be rewritten");
	options->rewrite[from] = (uint8_t)to;
	options->rewritten |= SIGNALS_BIT(from);
	return 0;
}

static int apply_help(struct parser *parser, const char *value)
{
	(void)value;
	parser->options->mode = OPTIONS_HELP;
	return 0;
}

static int apply_version(struct parser *parser, const char *value)
{
	(void)value;
	parser->options->mode = OPTIONS_VERSION;
	return 0;
}

/* For holdfast-boot. */
static int apply_managed(struct parser *parser, const char *value)
{
	struct options *options = parser->options;

	if (options->n_settings == OPTIONS_SETTINGS_MAX)
		return fail(parser, "there are too many options of this kind");
	options->settings[options->n_settings++] = (struct options_setting){
		.name = parser->name,
		.value = value,
	};
	return 0;
}

static const struct row rows[] = {
	{'g', "group", ARGUMENT_NONE, SCOPE_COMMAND, apply_group},
	{'e', "remap", ARGUMENT_REQUIRED, SCOPE_COMMAND, apply_remap},
	{'r', "rewrite", ARGUMENT_REQUIRED, SCOPE_COMMAND, apply_rewrite},
	{'p', "pdeathsig", ARGUMENT_REQUIRED, SCOPE_COMMAND, apply_pdeathsig},
	{'w', "wait-all", ARGUMENT_OPTIONAL, SCOPE_COMMAND, apply_wait_all},
	{'h', "help", ARGUMENT_NONE, SCOPE_ALONE, apply_help},
	{0, "version", ARGUMENT_NONE, SCOPE_ALONE, apply_version},
	{0, "conf", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
	{0, "units", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
	{0, "stop-timeout", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
	{0, "health", ARGUMENT_OPTIONAL, SCOPE_MANAGED, apply_managed},
	{0, "secret", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
	{0, "config", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
	{0, "scratch", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
	{0, "user", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
	{0, "sandbox", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
	{0, "as", ARGUMENT_REQUIRED, SCOPE_MANAGED, apply_managed},
};

static int apply(struct parser *parser, const struct row *row, const char *value)
{
	struct options *options = parser->options;

	parser->name = row->name;
	int r = row->apply(parser, value);

	if (r < 0)
		return r;
	if (row->scope == SCOPE_MANAGED && options->mode == OPTIONS_COMMAND)
		options->mode = OPTIONS_MANAGED;
	if (row->scope == SCOPE_COMMAND && !parser->command_only)
		parser->command_only = parser->shown;
	return 0;
}

static const struct row *find_long(const char *name, size_t length)
{
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		if (strlen(rows[i].name) == length && memcmp(rows[i].name, name, length) == 0)
			return &rows[i];
	}
	return NULL;
}

static const struct row *find_letter(char letter)
{
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		if (rows[i].letter && rows[i].letter == letter)
			return &rows[i];
	}
	return NULL;
}

/* The next word of argv as an option's argument. `--` is none: it ends the options. */
static const char *next_value(struct parser *parser, int *at)
{
	const char *word = parser->options->argv[*at + 1];

	if (!word || str_equal(word, "--"))
		return NULL;
	++*at;
	return word;
}

static int parse_long(struct parser *parser, int *at)
{
	const char *name = parser->options->argv[*at] + 2;
	const char *equals = strchr(name, '=');
	const char *value = equals ? equals + 1 : NULL;
	const struct row *row = find_long(name, equals ? (size_t)(equals - name) : strlen(name));

	parser->shown = parser->options->argv[*at];
	if (!row)
		return fail(parser, "no such option; see --help");
	if (row->argument == ARGUMENT_NONE && value)
		return fail(parser, "takes no argument");
	if (row->argument == ARGUMENT_REQUIRED && !value)
		value = next_value(parser, at);
	if (row->argument == ARGUMENT_REQUIRED && !value)
		return fail(parser, "needs an argument; see --help");
	return apply(parser, row, value);
}

/* An optional argument begins with a digit or =, so that -wg stays two options. */
static bool is_attached(const struct row *row, const char *rest)
{
	if (row->argument == ARGUMENT_REQUIRED)
		return *rest != '\0';
	return row->argument == ARGUMENT_OPTIONAL &&
	       (*rest == '=' || (*rest >= '0' && *rest <= '9'));
}

static int parse_letters(struct parser *parser, int *at)
{
	const char *rest = parser->options->argv[*at] + 1;

	parser->shown = parser->options->argv[*at];
	while (*rest) {
		const struct row *row = find_letter(*rest++);
		if (!row)
			return fail(parser, "no such option; see --help");
		const char *value = NULL;
		if (is_attached(row, rest)) {
			value = *rest == '=' ? rest + 1 : rest;
			rest = "";
		} else if (row->argument == ARGUMENT_REQUIRED) {
			value = next_value(parser, at);
		}
		if (row->argument == ARGUMENT_REQUIRED && !value)
			return fail(parser, "needs an argument; see --help");
		int r = apply(parser, row, value);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_words(struct parser *parser)
{
	struct options *options = parser->options;
	int r = 0;

	for (int at = 1; at < options->argc && options->argv[at] && r == 0; at++) {
		const char *word = options->argv[at];
		if (str_equal(word, "--")) {
			options->command = &options->argv[at + 1];
			break;
		}
		if (str_starts(word, "--"))
			r = parse_long(parser, &at);
		else if (word[0] == '-' && word[1])
			r = parse_letters(parser, &at);
		else if (!options->stray)
			options->stray = word;
	}
	return r;
}

/*
 * A supervised command is told to stop, and nothing else reaches it through us: what PID 1 is sent
 * is for the instance (design, section 3). What -r and -p could only seem to do is refused.
 */
static int check_supervised(struct parser *parser)
{
	static const uint64_t stops = SIGNALS_BIT(SIGTERM) | SIGNALS_BIT(SIGINT) |
				      SIGNALS_BIT(SIGQUIT) | SIGNALS_BIT(SIGPWR) |
				      SIGNALS_BIT(SIGNALS_RTMIN + 3);
	const struct options *options = parser->options;

	parser->shown = "-r";
	if (options->rewritten & ~SIGNALS_BIT(SIGTERM))
		return fail(parser,
			    "TERM alone is passed on to a supervised command: expected TERM:B");
	if (options->rewrite[SIGTERM] == 0)
		return fail(parser,
			    "without TERM a supervised command could only be killed: expected "
			    "TERM:B, B not 0");
	parser->shown = "-p";
	if (options->pdeath_signal &&
	    !(SIGNALS_BIT(options->pdeath_signal) & (stops | SIGNALS_BIT(SIGKILL))))
		return fail(parser,
			    "with a supervised command expected a signal that stops it: KILL, "
			    "TERM, INT, QUIT, PWR or RTMIN+3");
	return 0;
}

static int check_whole(struct parser *parser)
{
	struct options *options = parser->options;

	if (options->mode == OPTIONS_HELP || options->mode == OPTIONS_VERSION)
		return 0;
	if (!options->command) {
		options->mode = OPTIONS_MANAGED;
		parser->shown = parser->command_only;
		return parser->shown ? fail(parser, "is for a command, and there is no -- COMMAND")
				     : 0;
	}
	if (options->stray) {
		parser->shown = options->stray;
		return fail(parser, "expected an option, or -- before the command");
	}
	if (!options->command[0]) {
		parser->shown = "--";
		return fail(parser, "expected a command to run after it");
	}
	return options->mode == OPTIONS_MANAGED ? check_supervised(parser) : 0;
}

int options_parse(int argc, char **argv, struct options *ret_options,
		  char ret_message[OPTIONS_MESSAGE_MAX])
{
	struct parser parser = {.options = ret_options};

	strbuf_init(&parser.message, ret_message, OPTIONS_MESSAGE_MAX);
	*ret_options = (struct options){.argc = argc, .argv = argv, .grace_s = OPTIONS_GRACE_S};
	for (size_t i = 0; i < ARRAY_COUNT(ret_options->rewrite); i++)
		ret_options->rewrite[i] = (uint8_t)i;
	int r = parse_words(&parser);
	return r < 0 ? r : check_whole(&parser);
}
