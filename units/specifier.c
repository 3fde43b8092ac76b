#include "units/specifier.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>

#include "lib/str.h"

static const char *full_name(const struct specifier_context *c)
{
	return c->name ? c->name->full : NULL;
}

static const char *name_without_suffix(const struct specifier_context *c)
{
	if (!c->name)
		return NULL;
	size_t length = strlen(c->name->full) - strlen(c->name->suffix) - 1;
	return arena_copy(c->arena, c->name->full, length);
}

static const char *prefix(const struct specifier_context *c)
{
	return c->name ? c->name->prefix : NULL;
}

static const char *prefix_unescaped(const struct specifier_context *c)
{
	return c->name ? name_unescape(c->arena, c->name->prefix) : NULL;
}

static const char *instance(const struct specifier_context *c)
{
	if (!c->name)
		return NULL;
	return c->name->instance ? c->name->instance : "";
}

static const char *instance_unescaped(const struct specifier_context *c)
{
	const char *text = instance(c);

	return text ? name_unescape(c->arena, text) : NULL;
}

static const char *last_of_prefix(const struct specifier_context *c)
{
	if (!c->name)
		return NULL;
	const char *dash = strrchr(c->name->prefix, '-');
	return dash ? dash + 1 : c->name->prefix;
}

static const char *last_of_prefix_unescaped(const struct specifier_context *c)
{
	const char *text = last_of_prefix(c);

	return text ? name_unescape(c->arena, text) : NULL;
}

static const char *as_path(const struct specifier_context *c)
{
	if (!c->name)
		return NULL;
	const char *text =
		c->name->instance && *c->name->instance ? c->name->instance : c->name->prefix;
	text = name_unescape(c->arena, text);
	return *text == '/' ? text : arena_printf(c->arena, "/%s", text);
}

static const char *hostname(const struct specifier_context *c)
{
	return c->hostname && *c->hostname ? c->hostname : NULL;
}

static const char *short_hostname(const struct specifier_context *c)
{
	const char *name = hostname(c);

	return name ? arena_copy(c->arena, name, strcspn(name, ".")) : NULL;
}

/* The first line of a small file. */
static const char *first_line(const struct specifier_context *c, const char *path)
{
	char *text;
	size_t size;

	if (source_read(c->source, path, 4096, &text, &size) < 0)
		return NULL;
	text[strcspn(text, "\n")] = '\0';
	return *text ? text : NULL;
}

static const char *machine_id(const struct specifier_context *c)
{
	const char *id = first_line(c, "/etc/machine-id");

	return id && strlen(id) == 32 ? id : NULL;
}

static const char *boot_id(const struct specifier_context *c)
{
	const char *id = first_line(c, "/proc/sys/kernel/random/boot_id");
	struct text text = {.arena = c->arena};

	for (; id && *id; id++) {
		if (*id != '-')
			text_addc(&text, *id);
	}
	return id ? text_end(&text) : NULL;
}

static const char *kernel_release(const struct specifier_context *c)
{
	struct utsname uts;

	return uname(&uts) == 0 ? arena_string(c->arena, uts.release) : NULL;
}

static const char *architecture(const struct specifier_context *c)
{
	(void)c;
#if defined(__x86_64__)
	return "x86-64";
#elif defined(__aarch64__)
	return "arm64";
#else
	return NULL;
#endif
}

/* A key of os-release(5); "" when the file does not have it. */
static const char *os_release(const struct specifier_context *c, const char *key)
{
	char *text, *save = NULL;
	size_t size, length = strlen(key);

	if (source_read(c->source, "/etc/os-release", 65536, &text, &size) < 0 &&
	    source_read(c->source, "/usr/lib/os-release", 65536, &text, &size) < 0)
		return NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, key, length) != 0 || line[length] != '=')
			continue;
		char *value = line + length + 1;
		size_t end = strlen(value);
		if (end >= 2 && (*value == '"' || *value == '\'') && value[end - 1] == *value) {
			value[end - 1] = '\0';
			value++;
		}
		return value;
	}
	return "";
}

static const char *fragment(const struct specifier_context *c)
{
	return c->file;
}

static const char *fragment_folder(const struct specifier_context *c)
{
	const char *slash = c->file ? strrchr(c->file, '/') : NULL;

	return slash ? arena_copy(c->arena, c->file, (size_t)(slash - c->file)) : NULL;
}

/* One of the three last columns says what it is. */
static const struct specifier {
	char letter;
	const char *text;
	const char *os_release_key;
	const char *(*find)(const struct specifier_context *context);
} specifiers[] = {
	{'%', "%", NULL, NULL},
	{'C', "/var/cache", NULL, NULL},
	{'E', "/etc", NULL, NULL},
	{'L', "/var/log", NULL, NULL},
	{'S', "/var/lib", NULL, NULL},
	{'T', "/tmp", NULL, NULL},
	{'V', "/var/tmp", NULL, NULL},
	{'t', "/run", NULL, NULL},
	/* The manager's own user, never that of User=. */
	{'u', "root", NULL, NULL},
	{'U', "0", NULL, NULL},
	{'g', "root", NULL, NULL},
	{'G', "0", NULL, NULL},
	{'h', "/root", NULL, NULL},
	{'s', "/bin/sh", NULL, NULL},
	/* Boot knows where it lies only later: a byte that the compiler replaces. */
	{'d', "\x05", NULL, NULL},
	{'A', NULL, "IMAGE_VERSION", NULL},
	{'B', NULL, "BUILD_ID", NULL},
	{'M', NULL, "IMAGE_ID", NULL},
	{'o', NULL, "ID", NULL},
	{'w', NULL, "VERSION_ID", NULL},
	{'W', NULL, "VARIANT_ID", NULL},
	{'n', NULL, NULL, full_name},
	{'N', NULL, NULL, name_without_suffix},
	{'p', NULL, NULL, prefix},
	{'P', NULL, NULL, prefix_unescaped},
	{'i', NULL, NULL, instance},
	{'I', NULL, NULL, instance_unescaped},
	{'j', NULL, NULL, last_of_prefix},
	{'J', NULL, NULL, last_of_prefix_unescaped},
	{'f', NULL, NULL, as_path},
	{'H', NULL, NULL, hostname},
	{'q', NULL, NULL, hostname},
	{'l', NULL, NULL, short_hostname},
	{'m', NULL, NULL, machine_id},
	{'b', NULL, NULL, boot_id},
	{'v', NULL, NULL, kernel_release},
	{'a', NULL, NULL, architecture},
	{'y', NULL, NULL, fragment},
	{'Y', NULL, NULL, fragment_folder},
};

static const struct specifier *find_specifier(char letter)
{
	for (size_t i = 0; letter && i < sizeof(specifiers) / sizeof(specifiers[0]); i++) {
		if (specifiers[i].letter == letter)
			return &specifiers[i];
	}
	return NULL;
}

static const char *value_of(const struct specifier_context *context, const struct specifier *s)
{
	if (s->text)
		return s->text;
	return s->find ? s->find(context) : os_release(context, s->os_release_key);
}

int specifier_expand(const struct specifier_context *context, const char *text, char **ret_text,
		     size_t *ret_offset)
{
	struct text out = {.arena = context->arena};

	for (const char *at = text; *at; at++) {
		if (*at != '%') {
			text_addc(&out, *at);
			continue;
		}
		const struct specifier *specifier = find_specifier(at[1]);
		const char *value = specifier ? value_of(context, specifier) : NULL;
		*ret_offset = (size_t)(at - text);
		if (!specifier) {
			*ret_text = arena_printf(context->arena,
						 "unknown specifier %%%c: expected one of "
						 "systemd.unit(5), or %%%% for a percent sign",
						 at[1] ? at[1] : ' ');
			return -EINVAL;
		}
		if (!value) {
			*ret_text = arena_printf(context->arena, "specifier %%%c has no value here",
						 at[1]);
			return -EINVAL;
		}
		text_adds(&out, value);
		at++;
	}
	*ret_text = text_end(&out);
	return 0;
}
