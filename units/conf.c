/*
 * What comes from outside (environment, command line) may set every key but Allow=, which is the
 * image's word on what of its promises may be weakened from there.
 */
#include "units/conf.h"

#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/machine.h"
#include "lib/str.h"
#include "units/directive.h"
#include "units/identity.h"
#include "units/parsers.h"
#include "units/values.h"
#include "units/words.h"

#define CONF_FILE	 "/etc/holdfast/holdfast.conf"
#define DEFAULT_LISTEN	 ":9180"
#define RING_BYTES_MIN	 (UINT64_C(64) << 10)
#define RING_BYTES_MAX	 (UINT64_C(1) << 30)
#define RING_BYTES	 (UINT64_C(4) << 20)
#define STOP_TIMEOUT_US	 (25 * USEC_PER_SEC)
#define FETCH_TIMEOUT_US (300 * USEC_PER_SEC) /* see docs/fleet.md */
#define CHANGE_SPLAY_US	 (30 * USEC_PER_SEC)

/* systemd's names (systemd-system.conf(5)); there the first is off by default. */
#define RUNTIME_WATCHDOG_US (30 * USEC_PER_SEC)
#define REBOOT_WATCHDOG_US  (600 * USEC_PER_SEC)
#define WATCHDOG_US_MAX	    (3600 * USEC_PER_SEC)

enum root_mode { ROOT_ENFORCE, ROOT_CONTENT, ROOT_WARN, ROOT_MODE_COUNT };
enum shells_mode { SHELLS_REFUSE, SHELLS_WARN, SHELLS_MODE_COUNT };

const char *const units_room_names[ROOM_COUNT] = {
	[ROOM_EMPTY] = "empty",
	[ROOM_YES] = "yes",
	[ROOM_CTL] = "ctl",
	[ROOM_NO] = "no",
};
static const char *const root_words[ROOT_MODE_COUNT] = {"enforce", "content", "warn"};
static const char *const shells_words[SHELLS_MODE_COUNT] = {"refuse", "warn"};
static const char *const failed_boot_words[FAILED_COUNT] = {"slot", "poweroff", "reboot"};
static const char *const detail_words[HEALTH_DETAIL_COUNT] = {"loopback", "all", "none"};

/* ---------------------------------------------------------------- readers */

static void parse_room(const struct parse *parse, void *target)
{
	bool has_room;

	if (str_parse_bool(parse->value, &has_room) == 0) {
		*(uint32_t *)target = has_room ? ROOM_YES : ROOM_NO;
		return;
	}
	for (uint32_t i = 0; i < ROOM_COUNT; i++) {
		if (strcmp(parse->value, units_room_names[i]) == 0) {
			*(uint32_t *)target = i;
			return;
		}
	}
	parse_error(parse, 0, "\"%s\": expected yes, ctl, empty or no", parse->value);
}

static void parse_log_format(const struct parse *parse, void *target)
{
	parse->units->conf.has_log_format = true;
	parse_enum(parse, target);
}

static void parse_stop_timeout(const struct parse *parse, void *target)
{
	uint64_t us = 0;

	/* A number alone counts in seconds, as --stop-timeout has it. */
	if (value_span(parse->value, &us) < 0)
		parse_error(parse, 0, "\"%s\": expected a time span such as 25 or 1min 30s",
			    parse->value);
	else if (us < 3 * USEC_PER_SEC)
		parse_error(
			parse, 0,
			"\"%s\": expected at least 3 s, of which 2 are kept for KILL and the dump",
			parse->value);
	else
		*(uint64_t *)target = us;
}

static void parse_ring_size(const struct parse *parse, void *target)
{
	uint64_t bytes = 0, size = RING_BYTES_MIN;

	if (value_size(parse->value, &bytes) < 0 || bytes < RING_BYTES_MIN ||
	    bytes > RING_BYTES_MAX) {
		parse_error(parse, 0, "\"%s\": expected a size from 64K to 1G", parse->value);
		return;
	}
	while (size < bytes)
		size *= 2;
	*(uint64_t *)target = size;
}

/* Whether text is a port on all addresses, or an address with a port. */
static bool is_listen(const char *text)
{
	uint64_t port;

	if (*text == ':')
		return str_parse_u64(text + 1, 65535, &port) == 0;
	return parse_is_address(text);
}

static void parse_health_listen(const struct parse *parse, void *target)
{
	struct settings *list = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	parse->units->conf.has_listen = true;
	if (!*at || strcmp(at, "none") == 0)
		list->count = 0;
	while ((word = parse_word(parse, &at, 0, &offset))) {
		if (strcmp(word, "none") == 0)
			continue;
		if (is_listen(word))
			settings_add(&parse->units->arena, list, word,
				     lex_where(parse->item, offset));
		else
			parse_error(
				parse, offset,
				"\"%s\": expected :PORT, ADDRESS:PORT with a numeric address, or none",
				word);
	}
}

/* Whole seconds, as watchdogs count; 0: off. */
static void parse_host_watchdog(const struct parse *parse, void *target)
{
	uint64_t us = 0;

	if (strcmp(parse->value, "off") != 0 &&
	    (value_span(parse->value, &us) < 0 || us > WATCHDOG_US_MAX ||
	     (us > 0 && us < 3 * USEC_PER_SEC))) {
		parse_error(parse, 0, "\"%s\": expected off, or a time from 3s to 1h",
			    parse->value);
		return;
	}
	*(uint64_t *)target = (us + USEC_PER_SEC - 1) / USEC_PER_SEC * USEC_PER_SEC;
}

static void parse_unit_path(const struct parse *parse, void *target)
{
	struct settings *list = target;
	const char *at = parse->value;
	size_t offset;
	char *word;

	if (!*at)
		list->count = 0;
	while ((word = parse_word(parse, &at, WORDS_UNQUOTE, &offset))) {
		char *path = parse_absolute(parse, word, offset);
		if (path)
			settings_add(&parse->units->arena, list, path,
				     lex_where(parse->item, offset));
	}
}

#define FIELD(field) offsetof(struct conf, field)

static const struct directive conf_directives[] = {
	{"Holdfast", "Units", parse_list, FIELD(units), 0, NULL},
	{"Holdfast", "UnitPath", parse_unit_path, FIELD(unit_path), 0, NULL},
	{"Holdfast", "ReadOnlyRoot", parse_enum, FIELD(root), ROOT_MODE_COUNT, root_words},
	{"Holdfast", "Shells", parse_enum, FIELD(shells), SHELLS_MODE_COUNT, shells_words},
	{"Holdfast", "Room", parse_room, FIELD(room), 0, NULL},
	{"Holdfast", "LogFormat", parse_log_format, FIELD(log_format), LOG_FORMAT_COUNT,
	 log_format_names},
	{"Holdfast", "DrainSec", parse_span, FIELD(drain_us), 0, NULL},
	{"Holdfast", "StopTimeoutSec", parse_stop_timeout, FIELD(stop_timeout_us), 0, NULL},
	{"Holdfast", "FailedBoot", parse_enum, FIELD(failed_boot), FAILED_COUNT, failed_boot_words},
	{"Modules", "Lockdown", parse_enum, FIELD(lockdown), LOCKDOWN_COUNT, units_lockdown_names},
	{"Modules", "Load", conf_parse_module, FIELD(modules), 0, NULL},
	{"Holdfast", "RuntimeWatchdogSec", parse_host_watchdog, FIELD(runtime_watchdog_us), 0,
	 NULL},
	{"Holdfast", "RebootWatchdogSec", parse_host_watchdog, FIELD(reboot_watchdog_us), 0, NULL},
	{"Holdfast", "Allow", parse_list, FIELD(allow), 0, NULL},
	{"Health", "Listen", parse_health_listen, FIELD(listen), 0, NULL},
	{"Health", "Detail", parse_enum, FIELD(health_detail), HEALTH_DETAIL_COUNT, detail_words},
	{"Log", "RingSize", parse_ring_size, FIELD(ring_bytes), 0, NULL},
};

/* Keys that promise something, the strongest value first. */
static const struct weak {
	const char *key;
	size_t offset;
} weak_values[] = {
	{"ReadOnlyRoot", FIELD(root)},
	{"Shells", FIELD(shells)},
	{"Room", FIELD(room)},
};

static uint32_t get_number(const struct conf *conf, size_t offset)
{
	uint32_t value;

	memcpy(&value, (const char *)conf + offset, sizeof(value));
	return value;
}

/* ---------------------------------------------------------------- sections of their own */

/* Sorted by path, so that what lies below another is mounted after it, whoever named it first. */
static void add_scratch(struct units *units, const struct scratch *scratch)
{
	struct scratches *list = &units->conf.scratch;
	size_t at = 0;

	while (at < list->count && strcmp(list->items[at].path, scratch->path) < 0)
		at++;
	if (at < list->count && strcmp(list->items[at].path, scratch->path) == 0) {
		list->items[at] = *scratch;
		return;
	}
	(void)LIST_ADD(&units->arena, list);
	for (size_t i = list->count - 1; i > at; i--)
		list->items[i] = list->items[i - 1];
	list->items[at] = *scratch;
}

/* An instance, which has an environment, and no host; of an image that is looked at nobody knows. */
static bool is_no_host(const struct units *units)
{
	return units->request.environment && !units->request.is_host && !units->request.is_offline;
}

static void apply_scratch(const struct parse *parse)
{
	struct scratch scratch = {.mode = 0755, .at = parse->item->at};

	if (parse->item->key[0] != '/' || strstr(parse->item->key, "/..") || !parse->item->key[1]) {
		report_error(&parse->units->report, &parse->item->at,
			     "%s=: expected an absolute path, and its options behind \"=\"",
			     parse->item->key);
		return;
	}
	scratch.path = parse->item->key;
	if (!parse_scratch_options(parse, parse->value, 0, &scratch))
		return;
	if (scratch.device && (scratch.flags & SCRATCH_READ_ONLY)) {
		parse_error(parse, 0, "a disk that is made anew and read-only holds nothing");
		return;
	}
	if (scratch.device && is_no_host(parse->units)) {
		parse_warning(parse, 0,
			      "device= is for hosts, and this is none: it is memory here");
		scratch.device = NULL;
	}
	add_scratch(parse->units, &scratch);
}

static const struct {
	const char *name;
	/* NULL: its keys stand in the table, or this version does nothing about the section */
	void (*apply)(const struct parse *parse);
	bool is_for_hosts;
} sections[] = {
	{"Holdfast", NULL, false},
	{"Health", NULL, false},
	{"Log", NULL, false},
	{"Scratch", apply_scratch, false},
	{"Identity", identity_apply, false},
	{"Secrets", conf_apply_secrets, false},
	{"Sysctl", conf_apply_sysctl, true},
	{"Modules", NULL, true},
	{"Network", conf_apply_network, true},
	{"Dump", NULL, true},
};

static int find_section(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(sections); i++) {
		if (strcmp(sections[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

static void say_unknown_section(struct units *units, const struct where *at, const char *name)
{
	const char *names[ARRAY_COUNT(sections)];

	for (size_t i = 0; i < ARRAY_COUNT(sections); i++)
		names[i] = sections[i].name;
	const char *nearest = value_nearest(name, names, ARRAY_COUNT(names));
	if (nearest)
		report_unknown(&units->report, at, "unknown section [%s]: did you mean [%s]?", name,
			       nearest);
	else if (!str_starts(name, "X-"))
		report_unknown(&units->report, at, "unknown section [%s]", name);
}

static void say_unknown_key(struct units *units, const char *section, const struct lex_item *item)
{
	const char *names[ARRAY_COUNT(conf_directives)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_COUNT(conf_directives); i++) {
		const struct directive *d = &conf_directives[i];
		if (strcmp(d->section, section) == 0) {
			names[n++] = d->key;
		} else if (strcmp(d->key, item->key) == 0) {
			report_unknown(&units->report, &item->at,
				       "%s= does not belong in [%s]: expected it in [%s]",
				       item->key, section, d->section);
			return;
		}
	}
	const char *nearest = value_nearest(item->key, names, n);
	report_unknown(&units->report, &item->at, "unknown key %s= in [%s]%s%s%s", item->key,
		       section, nearest ? ": did you mean " : "", nearest ? nearest : "",
		       nearest ? "=?" : "");
}

/* A section that has none, and is no list of its own, is one of a version to come. */
static bool has_keys(const char *section)
{
	for (size_t i = 0; i < ARRAY_COUNT(conf_directives); i++) {
		if (strcmp(conf_directives[i].section, section) == 0)
			return true;
	}
	return false;
}

static void apply(struct units *units, int section, const struct lex_item *item)
{
	struct parse parse = {
		.units = units,
		.item = item,
		.value = item->value,
		.specifiers = {&units->arena, &units->source, NULL, NULL, units->request.hostname},
	};

	if (sections[section].is_for_hosts && is_no_host(units))
		report_warning(&units->report, &item->at,
			       "%s= in [%s] is for hosts, and this is none: passed over", item->key,
			       sections[section].name);
	if (sections[section].apply) {
		sections[section].apply(&parse);
		return;
	}
	parse.directive = directive_find(conf_directives, ARRAY_COUNT(conf_directives),
					 sections[section].name, item->key);
	if (parse.directive)
		parse.directive->parse(&parse, (char *)&units->conf + parse.directive->offset);
	else if (!has_keys(sections[section].name))
		report_warning(&units->report, &item->at,
			       "%s= in [%s] is not in this version: passed over", item->key,
			       sections[section].name);
	else if (!str_starts(item->key, "X-"))
		say_unknown_key(units, sections[section].name, item);
}

/* ---------------------------------------------------------------- the file and the overrides */

static void read_text(struct units *units, const char *text, size_t size)
{
	int section = -1;
	bool has_section = false;
	struct lexer lexer;
	struct lex_item item;

	lex_init(&lexer, &units->arena, units->conf.file, text, size);
	for (;;) {
		lex_next(&lexer, &item);
		if (item.kind == LEX_END)
			return;
		if (item.kind == LEX_ERROR) {
			report_error(&units->report, &item.at, "%s", item.message);
		} else if (item.kind == LEX_SECTION) {
			has_section = true;
			section = find_section(item.key);
			if (section < 0)
				say_unknown_section(units, &item.at, item.key);
		} else if (!has_section) {
			report_error(&units->report, &item.at,
				     "%s= outside of a section: expected [Section] first",
				     item.key);
		} else if (section >= 0) {
			apply(units, section, &item);
		}
	}
}

static void read_conf_file(struct units *units)
{
	const char *path = units->request.conf;
	struct where at = {.file = path ? path : CONF_FILE};
	char *text;
	size_t size = 0;

	units->conf.file = at.file;
	int r = source_read(&units->source, at.file, LEX_FILE_MAX, &text, &size);
	if ((r == -ENOENT || r == -ENOTDIR) && !path)
		return;
	if (r == -EFBIG)
		report_error(&units->report, &at, "the file is too big: expected at most %u bytes",
			     LEX_FILE_MAX);
	else if (r < 0)
		report_failure(&units->report, &at, source_status(-r), "cannot be read: %s",
			       source_strerror(-r));
	else
		read_text(units, text, size);
}

static bool is_allowed(const struct conf *conf, const char *key)
{
	for (size_t i = 0; i < conf->allow.count; i++) {
		if (strcmp(conf->allow.items[i].text, key) == 0)
			return true;
	}
	return false;
}

static const struct weak *find_weak(const char *section, const char *key)
{
	for (size_t i = 0; strcmp(section, "Holdfast") == 0 && i < ARRAY_COUNT(weak_values); i++) {
		if (strcmp(weak_values[i].key, key) == 0)
			return &weak_values[i];
	}
	return NULL;
}

static void apply_override(struct units *units, const struct units_override *override)
{
	struct conf *conf = &units->conf;
	const struct weak *weak = find_weak(override->section, override->key);
	int section = find_section(override->section);
	struct lex_item item = {
		.kind = LEX_ASSIGNMENT,
		.at = {.file = arena_string(&units->arena, override->origin)},
		.key = arena_string(&units->arena, override->key),
		.value = "",
	};
	const struct directive *row = directive_find(conf_directives, ARRAY_COUNT(conf_directives),
						     override->section, override->key);

	if (section < 0)
		return;
	if (override->is_from_outside && row && row->offset == FIELD(allow)) {
		report_error(&units->report, &item.at,
			     "Allow= is the image's to say: expected it in %s", conf->file);
		return;
	}
	/* What is said outside stands in place of the file's list, not behind it. */
	if (row && (row->parse == parse_list || row->parse == parse_unit_path ||
		    row->parse == parse_health_listen))
		apply(units, section, &item);
	uint32_t before = weak ? get_number(conf, weak->offset) : 0;
	item.value = arena_string(&units->arena, override->value);
	apply(units, section, &item);
	if (weak && override->is_from_outside && get_number(conf, weak->offset) > before &&
	    !is_allowed(conf, weak->key))
		report_error(&units->report, &item.at,
			     "%s=%s weakens a promise: expected Allow=%s in %s", override->key,
			     override->value, weak->key, conf->file);
}

static void check_allow(struct units *units)
{
	const struct settings *allow = &units->conf.allow;

	for (size_t i = 0; i < allow->count; i++) {
		if (!find_weak("Holdfast", allow->items[i].text))
			report_unknown(&units->report, &allow->items[i].at,
				       "Allow=: \"%s\": expected ReadOnlyRoot, Shells or Room",
				       allow->items[i].text);
	}
}

/* ---------------------------------------------------------------- what others get */

static void add_line(struct units *units, struct strings *lines, const char *key, const char *value)
{
	strings_add(&units->arena, lines, arena_printf(&units->arena, "%s=%s", key, value));
}

static const char *join(struct units *units, const struct settings *list)
{
	struct text text = {.arena = &units->arena};

	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			text_addc(&text, ' ');
		text_adds(&text, list->items[i].text);
	}
	return text_end(&text);
}

static const char *seconds(struct units *units, uint64_t us)
{
	if (us == PLAN_INFINITY_US)
		return "infinity";
	return arena_printf(&units->arena, "%llums", (unsigned long long)(us / USEC_PER_MSEC));
}

static void add_scratch_lines(struct units *units, struct strings *lines)
{
	for (size_t i = 0; i < units->conf.scratch.count; i++) {
		const struct scratch *s = &units->conf.scratch.items[i];
		strings_add(
			&units->arena, lines,
			arena_printf(&units->arena, "Scratch.%s=size=%llu,nr_inodes=%llu%s%s%s%s%s",
				     s->path, (unsigned long long)s->size_bytes,
				     (unsigned long long)s->nr_inodes,
				     s->flags & SCRATCH_OWN_MODE
					     ? arena_printf(&units->arena, ",mode=%04o", s->mode)
					     : "",
				     s->flags & SCRATCH_EXEC ? ",exec" : "",
				     s->flags & SCRATCH_READ_ONLY ? ",ro" : "",
				     s->device ? ",device=" : "", s->device ? s->device : ""));
	}
}

static const char *const *make_lines(struct units *units)
{
	const struct conf *conf = &units->conf;
	struct strings lines = {0};

	add_line(units, &lines, "Holdfast.Units", join(units, &conf->units));
	add_line(units, &lines, "Holdfast.UnitPath", join(units, &conf->unit_path));
	add_line(units, &lines, "Holdfast.ReadOnlyRoot", root_words[conf->root]);
	add_line(units, &lines, "Holdfast.Shells", shells_words[conf->shells]);
	add_line(units, &lines, "Holdfast.Room", units_room_names[conf->room]);
	add_line(units, &lines, "Holdfast.LogFormat", log_format_names[conf->log_format]);
	add_line(units, &lines, "Holdfast.DrainSec", seconds(units, conf->drain_us));
	add_line(units, &lines, "Holdfast.StopTimeoutSec", seconds(units, conf->stop_timeout_us));
	add_line(units, &lines, "Holdfast.FailedBoot", failed_boot_words[conf->failed_boot]);
	add_line(units, &lines, "Holdfast.RuntimeWatchdogSec",
		 seconds(units, conf->runtime_watchdog_us));
	add_line(units, &lines, "Holdfast.RebootWatchdogSec",
		 seconds(units, conf->reboot_watchdog_us));
	add_line(units, &lines, "Holdfast.Allow", join(units, &conf->allow));
	add_line(units, &lines, "Health.Listen", join(units, &conf->listen));
	add_line(units, &lines, "Health.Detail", detail_words[conf->health_detail]);
	add_scratch_lines(units, &lines);
	for (size_t i = 0; i < conf->sysctls.count; i++)
		strings_add(&units->arena, &lines,
			    arena_printf(&units->arena, "Sysctl.%s", conf->sysctls.items[i].text));
	add_line(units, &lines, "Secrets.FetchTimeoutSec", seconds(units, conf->fetch_timeout_us));
	add_line(units, &lines, "Secrets.ChangeSplaySec", seconds(units, conf->change_splay_us));
	strings_add(&units->arena, &lines, NULL);
	return lines.items;
}

static const char *const *texts(struct units *units, const struct settings *list)
{
	struct strings strings = {0};

	for (size_t i = 0; i < list->count; i++)
		strings_add(&units->arena, &strings, list->items[i].text);
	strings_add(&units->arena, &strings, NULL);
	return strings.items;
}

static void publish(struct units *units)
{
	struct conf *conf = &units->conf;

	units->public_conf = (struct units_conf){
		.root_must_be_read_only = conf->root != ROOT_WARN,
		.root_content_will_do = conf->root == ROOT_CONTENT,
		.room = (enum units_room)conf->room,
		.shells_must_be_refused = conf->shells == SHELLS_REFUSE,
		.log_format = conf->log_format,
		.failed_boot = conf->failed_boot,
		.runtime_watchdog_s = (uint32_t)(conf->runtime_watchdog_us / USEC_PER_SEC),
		.reboot_watchdog_s = (uint32_t)(conf->reboot_watchdog_us / USEC_PER_SEC),
		.listen = texts(units, &conf->listen),
		.config_lines = make_lines(units),
		.secret_settings = texts(units, &conf->secret_settings),
		.sysctls = texts(units, &conf->sysctls),
		.modules = conf->modules.items,
		.n_modules = conf->modules.count,
		.lockdown = (enum units_lockdown)conf->lockdown,
		.network = {.addresses = conf->addresses.items,
			    .n_addresses = conf->addresses.count,
			    .routes = conf->routes.items,
			    .n_routes = conf->routes.count,
			    .dns = texts(units, &conf->dns),
			    .search = texts(units, &conf->search)},
	};
}

void conf_load(struct units *units)
{
	struct conf *conf = &units->conf;
	struct where nowhere = {0};

	conf->stop_timeout_us = STOP_TIMEOUT_US;
	conf->runtime_watchdog_us = RUNTIME_WATCHDOG_US;
	conf->reboot_watchdog_us = REBOOT_WATCHDOG_US;
	conf->ring_bytes = RING_BYTES;
	conf->fetch_timeout_us = FETCH_TIMEOUT_US;
	conf->lockdown = LOCKDOWN_INTEGRITY;
	/* In the place of tini a container is to be as it would be with tini. */
	conf->room = units->request.command ? ROOM_NO : ROOM_YES;
	conf->change_splay_us = CHANGE_SPLAY_US;
	read_conf_file(units);
	/* The file's endpoint is the service's, which may be running beside its one-off. */
	if (units->request.command && units->request.command->as)
		conf->listen.count = 0;
	for (size_t i = 0; i < units->request.n_overrides; i++)
		apply_override(units, &units->request.overrides[i]);
	check_allow(units);
	/* A command has an endpoint only when it asks for one, and hands its lines on as they are. */
	if (!conf->has_listen && !units->request.command)
		settings_add(&units->arena, &conf->listen, DEFAULT_LISTEN, nowhere);
	/* Nor does anybody take JSON from a host's console: people look at it. */
	if (!conf->has_log_format && (units->request.command || units->request.is_host))
		conf->log_format = units->request.is_host ? LOG_PLAIN : LOG_RAW;
	publish(units);
}
