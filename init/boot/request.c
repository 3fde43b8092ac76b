/*
 * What is asked for: the command line, HOLDFAST_* variables, then the files. The first two become
 * overrides of keys of holdfast.conf, or, with a command, keys of the unit main.service; the unit
 * language does the rest, and its diagnostics come out here as events, file, line and column first.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init/boot/boot.h"
#include "lib/cleanup.h"
#include "lib/event.h"
#include "lib/fd.h"
#include "lib/options.h"
#include "lib/str.h"

/* Where --name goes. */
enum target {
	TARGET_CONF,
	TARGET_UNITS,
	TARGET_OVERRIDE,
	TARGET_COMMAND,
	TARGET_SCRATCH,
	TARGET_AS
};

static const struct setting {
	const char *name;
	enum target target;
	const char *section, *key;
	const char *value;  /* where none was given */
	const char *origin; /* in messages */
} settings[] = {
	{"conf", TARGET_CONF, NULL, NULL, NULL, NULL},
	{"units", TARGET_UNITS, NULL, NULL, NULL, NULL},
	{"stop-timeout", TARGET_OVERRIDE, "Holdfast", "StopTimeoutSec", NULL, "--stop-timeout"},
	{"health", TARGET_OVERRIDE, "Health", "Listen", ":9180", "--health"},
	{"scratch", TARGET_SCRATCH, "Scratch", NULL, NULL, "--scratch"},
	{"user", TARGET_COMMAND, "Service", "User", NULL, NULL},
	{"sandbox", TARGET_COMMAND, "X-Holdfast", "Sandbox", NULL, NULL},
	{"secret", TARGET_COMMAND, "X-Holdfast", "Secret", NULL, NULL},
	{"config", TARGET_COMMAND, "X-Holdfast", "Config", NULL, NULL},
	{"as", TARGET_AS, NULL, NULL, NULL, NULL},
};

/*
 * HOLDFAST_X for each key that may come from outside, in containers. Allow= is none of them: it is
 * the image that says what may be weakened.
 */
static const struct {
	const char *name, *section, *key;
} variables[] = {
	{"HOLDFAST_UNITS", "Holdfast", "Units"},
	{"HOLDFAST_UNIT_PATH", "Holdfast", "UnitPath"},
	{"HOLDFAST_READ_ONLY_ROOT", "Holdfast", "ReadOnlyRoot"},
	{"HOLDFAST_SHELLS", "Holdfast", "Shells"},
	{"HOLDFAST_ROOM", "Holdfast", "Room"},
	{"HOLDFAST_LOG_FORMAT", "Holdfast", "LogFormat"},
	{"HOLDFAST_DRAIN", "Holdfast", "DrainSec"},
	{"HOLDFAST_STOP_TIMEOUT", "Holdfast", "StopTimeoutSec"},
	{"HOLDFAST_FAILED_BOOT", "Holdfast", "FailedBoot"},
	{"HOLDFAST_RUNTIME_WATCHDOG", "Holdfast", "RuntimeWatchdogSec"},
	{"HOLDFAST_REBOOT_WATCHDOG", "Holdfast", "RebootWatchdogSec"},
	{"HOLDFAST_HEALTH_LISTEN", "Health", "Listen"},
	{"HOLDFAST_HEALTH_DETAIL", "Health", "Detail"},
	{"HOLDFAST_LOG_RING_SIZE", "Log", "RingSize"},
	{"HOLDFAST_SECRETS_REGION", "Secrets", "Region"},
	{"HOLDFAST_SECRETS_ENDPOINT_URL", "Secrets", "EndpointUrl"},
	{"HOLDFAST_SECRETS_ENDPOINT_URL_SSM", "Secrets", "EndpointUrlSsm"},
	{"HOLDFAST_SECRETS_ENDPOINT_URL_SECRETS_MANAGER", "Secrets", "EndpointUrlSecretsManager"},
	{"HOLDFAST_SECRETS_ENDPOINT_URL_STS", "Secrets", "EndpointUrlSts"},
	{"HOLDFAST_SECRETS_USE_FIPS_ENDPOINT", "Secrets", "UseFipsEndpoint"},
	{"HOLDFAST_SECRETS_USE_DUAL_STACK_ENDPOINT", "Secrets", "UseDualStackEndpoint"},
	{"HOLDFAST_SECRETS_CA_BUNDLE", "Secrets", "CaBundle"},
	{"HOLDFAST_SECRETS_METADATA_DISABLED", "Secrets", "MetadataDisabled"},
	{"HOLDFAST_SECRETS_METADATA_ENDPOINT", "Secrets", "MetadataEndpoint"},
	{"HOLDFAST_VAULT_ADDRESS", "Secrets", "VaultAddress"},
	{"HOLDFAST_VAULT_NAMESPACE", "Secrets", "VaultNamespace"},
	{"HOLDFAST_VAULT_CA_FILE", "Secrets", "VaultCaFile"},
	{"HOLDFAST_VAULT_CA_PATH", "Secrets", "VaultCaPath"},
	{"HOLDFAST_VAULT_SERVER_NAME", "Secrets", "VaultServerName"},
	{"HOLDFAST_VAULT_CLIENT_CERT", "Secrets", "VaultClientCert"},
	{"HOLDFAST_VAULT_CLIENT_KEY", "Secrets", "VaultClientKey"},
	{"HOLDFAST_VAULT_AUTH", "Secrets", "VaultAuth"},
	{"HOLDFAST_VAULT_AUTH_MOUNT", "Secrets", "VaultAuthMount"},
	{"HOLDFAST_VAULT_ROLE", "Secrets", "VaultRole"},
	{"HOLDFAST_VAULT_ROLE_ID", "Secrets", "VaultRoleId"},
	{"HOLDFAST_VAULT_SECRET_ID_FILE", "Secrets", "VaultSecretIdFile"},
	{"HOLDFAST_VAULT_TOKEN_FILE", "Secrets", "VaultTokenFile"},
	{"HOLDFAST_VAULT_JWT_FILE", "Secrets", "VaultJwtFile"},
	{"HOLDFAST_VAULT_IAM_SERVER_ID", "Secrets", "VaultIamServerId"},
	{"HOLDFAST_VAULT_IAM_REGION", "Secrets", "VaultIamRegion"},
	{"HOLDFAST_VAULT_WRAPPED", "Secrets", "VaultWrapped"},
	{"HOLDFAST_VAULT_WRAPPED_PATH", "Secrets", "VaultWrappedPath"},
	{"HOLDFAST_SECRETS_FETCH_TIMEOUT", "Secrets", "FetchTimeoutSec"},
	{"HOLDFAST_SECRETS_CHANGE_SPLAY", "Secrets", "ChangeSplaySec"},
};

struct request {
	struct units_request units;
	struct units_command command;
	struct units_override overrides[OPTIONS_SETTINGS_MAX + ARRAY_COUNT(variables)];
	size_t n_overrides;
	const char *keys[OPTIONS_SETTINGS_MAX + 3];
	size_t n_keys;
	struct options options;
	char hostname[256];
};

/* From request_open to request_load. */
static struct request the_request;

static int fail_memory(struct boot *boot)
{
	return boot_fail(boot, EX_SOFTWARE, "out of memory");
}

/* Later ones win, so the environment comes first and flags after it. There is room for every
 * variable once and for every option that lib/options.h takes. */
static void add_override(struct request *request, const char *section, const char *key,
			 const char *value, const char *origin)
{
	request->overrides[request->n_overrides++] = (struct units_override){
		.section = section,
		.key = key,
		.value = value,
		.origin = origin,
		.is_from_outside = true,
	};
}

static bool is_named(const char *assignment, const char *name)
{
	size_t length = strlen(name);

	return strncmp(assignment, name, length) == 0 && assignment[length] == '=';
}

/* As getenv(3): of two that have one name, the first. */
static const char *find_value(const struct boot *boot, const char *name)
{
	for (const char *const *e = boot->environment; *e; e++) {
		if (is_named(*e, name))
			return *e + strlen(name) + 1;
	}
	return NULL;
}

/* What the environment alone may say, and others than boot read. */
static const char *const other_variables[] = {
	"HOLDFAST_CRASH",	    /* lib/crash.h */
	"HOLDFAST_VAULT_SECRET_ID", /* secrets/vaultconf.c: a secret, so that no file may have it */
};

static bool is_known(const char *assignment)
{
	for (size_t i = 0; i < ARRAY_COUNT(variables); i++) {
		if (is_named(assignment, variables[i].name))
			return true;
	}
	for (size_t i = 0; i < ARRAY_COUNT(other_variables); i++) {
		if (is_named(assignment, other_variables[i]))
			return true;
	}
	return false;
}

static void take_environment(const struct boot *boot, struct request *request)
{
	/* On a host the kernel puts words of its command line there, which whoever owns the
	 * console may edit: nothing of it is taken. */
	if (boot->is_host)
		return;
	for (size_t i = 0; i < ARRAY_COUNT(variables); i++) {
		const char *value = find_value(boot, variables[i].name);
		if (value)
			add_override(request, variables[i].section, variables[i].key, value,
				     variables[i].name);
	}
	for (const char *const *e = boot->environment; *e; e++) {
		if (str_starts(*e, "HOLDFAST_") && !is_known(*e))
			event_emit(EVENT_WARNING, "unknown-variable", NULL,
				   "%.*s stands for no key of holdfast.conf and is ignored",
				   (int)strcspn(*e, "="), *e);
	}
}

/* PATH[:OPTIONS] is a key of [Scratch]. */
static int add_scratch(struct boot *boot, struct request *request, const char *value)
{
	size_t length = strcspn(value, ":");
	char *path = strndup(value, length);

	if (!path)
		return fail_memory(boot);
	add_override(request, "Scratch", path, value[length] ? value + length + 1 : "",
		     "--scratch");
	return 0;
}

static int add_key(struct boot *boot, struct request *request, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int add_key(struct boot *boot, struct request *request, const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	int r = vasprintf(&text, format, args);
	va_end(args);
	if (r < 0)
		return fail_memory(boot);
	request->keys[request->n_keys++] = text;
	return 0;
}

static int add_command_key(struct boot *boot, struct request *request,
			   const struct setting *setting, const char *value)
{
	const char *equals = strchr(value, '=');

	if (!request->options.command)
		return boot_fail(boot, EX_USAGE,
				 "--%s is for a command, and there is no -- COMMAND",
				 setting->name);
	bool is_named_value =
		str_equal(setting->section, "X-Holdfast") && !str_equal(setting->key, "Sandbox");
	if (!is_named_value)
		return add_key(boot, request, "%s.%s=%s", setting->section, setting->key, value);
	if (!equals || equals == value)
		return boot_fail(boot, EX_USAGE, "--%s %s: expected NAME=REFERENCE", setting->name,
				 value);
	/* "--secret A=file:/x" is the line "Secret=A file:/x". */
	return add_key(boot, request, "%s.%s=%.*s %s", setting->section, setting->key,
		       (int)(equals - value), value, equals + 1);
}

static int take_as(struct boot *boot, struct request *request, const char *value)
{
	if (!request->options.command)
		return boot_fail(boot, EX_USAGE,
				 "--as is for a command, and there is no -- COMMAND");
	if (request->command.as)
		return boot_fail(boot, EX_USAGE,
				 "--as stands there twice: a command is a one-off of one unit");
	request->command.as = value;
	return 0;
}

/* Paths on the command line are relative to where holdfast was started; units/ knows only the root. */
static int take_path(struct boot *boot, const char *value, const char **ret_path)
{
	char directory[PATH_MAX], *path;

	*ret_path = value;
	if (*value == '/' || !getcwd(directory, sizeof(directory)))
		return 0;
	if (asprintf(&path, "%s/%s", directory, value) < 0)
		return fail_memory(boot);
	*ret_path = path;
	return 0;
}

static int take_setting(struct boot *boot, struct request *request, const struct setting *setting,
			const char *value)
{
	switch (setting->target) {
	case TARGET_CONF: return take_path(boot, value, &request->units.conf);
	case TARGET_UNITS: return take_path(boot, value, &request->units.units_dir);
	case TARGET_OVERRIDE:
		add_override(request, setting->section, setting->key, value, setting->origin);
		return 0;
	case TARGET_SCRATCH: return add_scratch(boot, request, value);
	case TARGET_COMMAND: return add_command_key(boot, request, setting, value);
	case TARGET_AS: return take_as(boot, request, value);
	}
	return 0;
}

static const struct setting *find_setting(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
		if (str_equal(settings[i].name, name))
			return &settings[i];
	}
	return NULL;
}

static int take_settings(struct boot *boot, struct request *request)
{
	const struct options *options = &request->options;
	bool has_sandbox = false;
	int status = 0;

	for (size_t i = 0; i < options->n_settings && status == 0; i++) {
		const struct setting *setting = find_setting(options->settings[i].name);
		const char *value = options->settings[i].value;
		if (!setting)
			return boot_fail(boot, EX_USAGE, "--%s is not in this version",
					 options->settings[i].name);
		status = take_setting(boot, request, setting, value ? value : setting->value);
		has_sandbox |= str_equal(setting->name, "sandbox");
	}
	if (status == 0 && has_sandbox && request->command.as)
		return boot_fail(boot, EX_USAGE,
				 "--sandbox does not go with --as: the command has that of %s",
				 request->command.as);
	return status;
}

static int take_command(struct boot *boot, struct request *request)
{
	const struct options *options = &request->options;
	struct units_command *command = &request->command;
	static char directory[PATH_MAX];

	if (!options->command)
		return 0;
	command->argv = options->command;
	command->directory = getcwd(directory, sizeof(directory));
	command->is_group = options->is_group;
	command->pdeath_signal = (uint32_t)options->pdeath_signal;
	for (size_t i = 0; i < ARRAY_COUNT(command->remap); i++)
		command->remap[i] = options->remap_to_zero[i] ? 0 : (uint8_t)i;
	request->units.command = command;
	int status = 0;
	/* Of all signals only TERM is passed on (lib/options.h). */
	if (options->rewritten)
		status = add_key(boot, request, "Service.KillSignal=%u", options->rewrite[SIGTERM]);
	if (status == 0 && options->is_wait_all)
		status =
			add_key(boot, request, "Service.TimeoutStopSec=%" PRIu32, options->grace_s);
	return status;
}

static const enum event_level diag_events[] = {
	[DIAG_WARNING] = EVENT_WARNING,
	[DIAG_ERROR] = EVENT_ERROR,
};

/* file:line:column: message, of what is known. */
static void add_diag(struct strbuf *buf, const struct diag *diag)
{
	if (diag->file)
		strbuf_addf(buf, "%s:", diag->file);
	if (diag->file && diag->line)
		strbuf_addf(buf, "%" PRIu32 ":", diag->line);
	if (diag->file && diag->line && diag->column)
		strbuf_addf(buf, "%" PRIu32 ":", diag->column);
	strbuf_addf(buf, "%s%s", buf->length ? " " : "", diag->message);
}

static void say_plain(const struct diag *diag)
{
	char text[PROTO_TEXT_MAX];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	add_diag(&buf, diag);
	event_emit(diag_events[diag->level], "config", NULL, "%s", text);
}

static void say(const struct boot *boot, const struct diag *diag)
{
	if (boot->log_format != LOG_JSON) {
		say_plain(diag);
		return;
	}
	if (diag->file)
		event_with_string("file", diag->file);
	if (diag->line)
		event_with_i64("line", diag->line);
	if (diag->column)
		event_with_i64("column", diag->column);
	event_emit(diag_events[diag->level],
		   diag->level == DIAG_ERROR ? "config-error" : "config-warning", NULL, "%s",
		   diag->message);
}

static int fail_diag(struct boot *boot, const struct diag *diag)
{
	char text[PROTO_TEXT_MAX];
	struct strbuf buf;

	strbuf_init(&buf, text, sizeof(text));
	add_diag(&buf, diag);
	return boot_fail(boot, diag->status ? diag->status : EX_CONFIG, "%s", text);
}

/* All of them are said. The first error is the cause, which PID 1 says, too: as the last line, which
 * is enough for people who read lines. */
static int judge(struct boot *boot)
{
	const struct diag_list *list = units_diagnostics(boot->units);
	const struct diag *first = NULL;

	for (size_t i = 0; i < list->count; i++) {
		bool is_cause = !first && list->items[i].level == DIAG_ERROR;
		if (is_cause)
			first = &list->items[i];
		if (!is_cause || boot->log_format == LOG_JSON)
			say(boot, &list->items[i]);
	}
	return first ? fail_diag(boot, first) : 0;
}

static int load_units(struct boot *boot, struct request *request)
{
	CLEANUP(fd_closep) int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		return boot_fail(boot, EX_SOFTWARE, "cannot open /: %s", strerror(errno));
	request->units.root_fd = root;
	int r = units_load(&request->units, &boot->units);
	if (r < 0)
		return boot_fail(boot, EX_SOFTWARE, "cannot load the units: %s", strerror(-r));
	boot_set_format(boot, units_conf(boot->units)->log_format);
	boot_tell_failed_boot(boot, units_conf(boot->units)->failed_boot);
	return 0;
}

/* With mistakes in it nothing of it is done. */
static int load(struct boot *boot, struct request *request)
{
	(void)gethostname(request->hostname, sizeof(request->hostname) - 1);
	request->units.overrides = request->overrides;
	request->units.n_overrides = request->n_overrides;
	request->units.environment = boot->environment;
	request->units.hostname = request->hostname;
	request->units.is_host = boot->is_host;
	request->units.is_contained = boot->is_contained;
	request->command.keys = request->keys;
	int status = load_units(boot, request);
	if (status != 0 || units_diagnostics(boot->units)->n_errors == 0)
		return status;
	return judge(boot);
}

int request_complete(struct boot *boot)
{
	int status = judge(boot);

	if (status != 0)
		return status;
	boot_tell_units(boot, units_count(boot->units));
	return files_preview(boot);
}

/* What is asked for outside, so that what goes wrong before the file is read has its format. */
static enum log_format format_from_outside(const struct boot *boot, const struct options *options)
{
	const char *value = boot->is_host ? NULL : find_value(boot, "HOLDFAST_LOG_FORMAT");

	for (enum log_format format = 0; value && format < LOG_FORMAT_COUNT; format++) {
		if (str_equal(log_format_names[format], value))
			return format;
	}
	if (boot->is_host)
		return LOG_PLAIN;
	return options->command ? LOG_RAW : LOG_JSON;
}

int request_open(struct boot *boot)
{
	char message[OPTIONS_MESSAGE_MAX];

	if (options_parse(boot->argc, boot->argv, &the_request.options, message) < 0)
		return boot_fail(boot, EX_USAGE, "%s", message);
	boot_set_format(boot, format_from_outside(boot, &the_request.options));
	return 0;
}

int request_load(struct boot *boot)
{
	take_environment(boot, &the_request);
	int status = take_settings(boot, &the_request);
	if (status == 0)
		status = take_command(boot, &the_request);
	return status == 0 ? load(boot, &the_request) : status;
}
