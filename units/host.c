#include "units/host.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/str.h"
#include "units/values.h"

const char *host_read_text(struct units *units, const char *path)
{
	char *text;
	size_t size;

	return source_read(&units->source, path, 65536, &text, &size) == 0 ? text : "";
}

bool host_has_path(struct units *units, const char *path)
{
	mode_t mode;

	return source_mode(&units->source, path, &mode) == 0;
}

const char *host_variable(struct units *units, const char *name)
{
	const char *const *environment = units->request.environment;
	size_t length = strlen(name);

	for (; environment && *environment; environment++) {
		if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
			return *environment + length + 1;
	}
	return NULL;
}

bool host_is_architecture(struct units *units, const char *parameter)
{
	(void)units;
#if defined(__x86_64__)
	return strcmp(parameter, "x86-64") == 0 || strcmp(parameter, "native") == 0;
#elif defined(__aarch64__)
	return strcmp(parameter, "arm64") == 0 || strcmp(parameter, "native") == 0;
#else
	return strcmp(parameter, "native") == 0;
#endif
}

bool host_is_hostname(struct units *units, const char *parameter)
{
	const char *name = units->request.hostname;

	return name && fnmatch(parameter, name, FNM_CASEFOLD) == 0;
}

bool host_has_kernel_argument(struct units *units, const char *parameter)
{
	char *text = arena_string(&units->arena, host_read_text(units, "/proc/cmdline"));
	char *save = NULL;
	bool is_whole = strchr(parameter, '=');
	size_t length = strlen(parameter);

	for (char *word = strtok_r(text, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		if (strcmp(word, parameter) == 0 ||
		    (!is_whole && strncmp(word, parameter, length) == 0 && word[length] == '='))
			return true;
	}
	return false;
}

bool host_has_environment(struct units *units, const char *parameter)
{
	const char *equals = strchr(parameter, '=');
	const char *value;

	if (!equals)
		return host_variable(units, parameter);
	value = host_variable(units,
			      arena_copy(&units->arena, parameter, (size_t)(equals - parameter)));
	return value && strcmp(value, equals + 1) == 0;
}

bool host_has_credential(struct units *units, const char *parameter)
{
	const char *folder = host_variable(units, "CREDENTIALS_DIRECTORY");

	return folder && *folder == '/' && !strchr(parameter, '/') &&
	       host_has_path(units, arena_printf(&units->arena, "%s/%s", folder, parameter));
}

bool host_has_capability(struct units *units, const char *parameter)
{
	const char *bounding = strstr(host_read_text(units, "/proc/self/status"), "\nCapBnd:");
	uint32_t bit;

	if (!bounding || value_capability(parameter, &bit) < 0)
		return false;
	return strtoull(bounding + 8, NULL, 16) >> bit & 1;
}

/* One component with wildcards in the last place is what units use: /etc/x/conf.d/\*.conf. */
bool host_has_path_glob(struct units *units, const char *parameter)
{
	const char *slash = strrchr(parameter, '/');
	struct strings names = {0};

	if (!slash)
		return false;
	const char *folder =
		arena_copy(&units->arena, parameter, (size_t)MAX(slash - parameter, (ptrdiff_t)1));
	if (source_list(&units->source, folder, &names, NULL) < 0)
		return false;
	for (size_t i = 0; i < names.count; i++) {
		if (fnmatch(slash + 1, names.items[i], FNM_PERIOD) == 0)
			return true;
	}
	return false;
}

bool host_has_controllers(struct units *units, const char *parameter)
{
	char *available = arena_string(&units->arena,
				       host_read_text(units, "/sys/fs/cgroup/cgroup.controllers"));
	char *wanted = arena_string(&units->arena, parameter), *save = NULL;

	for (char *word = strtok_r(wanted, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (strcmp(word, "v2") == 0)
			continue;
		const char *found = strstr(available, word);
		if (!found)
			return false;
	}
	return true;
}

bool host_is_root_user(struct units *units, const char *parameter)
{
	(void)units;
	return strcmp(parameter, "root") == 0 || strcmp(parameter, "0") == 0 ||
	       strcmp(parameter, "@system") == 0;
}

bool host_is_never(struct units *units, const char *parameter)
{
	(void)units;
	bool wanted;
	return str_parse_bool(parameter, &wanted) == 0 && !wanted;
}

bool host_is_always(struct units *units, const char *parameter)
{
	(void)units;
	bool wanted;
	return str_parse_bool(parameter, &wanted) < 0 || wanted;
}

/* < <= = != >= > before a number or version; none: a pattern. */
struct comparison {
	bool less, equal, greater;
	const char *rest;
};

static struct comparison read_comparison(const char *text)
{
	static const struct {
		const char *sign;
		bool less, equal, greater;
	} signs[] = {
		{"<=", true, true, false}, {">=", false, true, true}, {"!=", true, false, true},
		{"<", true, false, false}, {">", false, false, true}, {"==", false, true, false},
		{"=", false, true, false},
	};

	for (size_t i = 0; i < ARRAY_COUNT(signs); i++) {
		if (!str_starts(text, signs[i].sign))
			continue;
		const char *rest = text + strlen(signs[i].sign);
		return (struct comparison){signs[i].less, signs[i].equal, signs[i].greater,
					   rest + strspn(rest, " ")};
	}
	return (struct comparison){false, false, true, text};
}

static bool compare(const struct comparison *c, int order)
{
	return order < 0 ? c->less : order > 0 ? c->greater : c->equal;
}

bool host_is_kernel(struct units *units, const char *parameter)
{
	struct comparison c = read_comparison(parameter);
	struct utsname uts;

	(void)units;
	if (uname(&uts) < 0)
		return false;
	if (c.rest == parameter)
		return fnmatch(parameter, uts.release, 0) == 0;
	return compare(&c, strverscmp(uts.release, c.rest));
}

static bool compare_number(const struct comparison *c, uint64_t have, uint64_t want)
{
	return compare(c, have < want ? -1 : have > want);
}

bool host_has_memory(struct units *units, const char *parameter)
{
	struct comparison c = read_comparison(parameter);
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	uint64_t wanted;

	(void)units;
	if (c.rest == parameter)
		c.equal = true;
	return pages > 0 && size > 0 && value_size(c.rest, &wanted) == 0 &&
	       compare_number(&c, (uint64_t)pages * (uint64_t)size, wanted);
}

bool host_has_cpus(struct units *units, const char *parameter)
{
	struct comparison c = read_comparison(parameter);
	long count = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t wanted;

	(void)units;
	if (c.rest == parameter)
		c.equal = true;
	return count > 0 && str_parse_u64(c.rest, UINT32_MAX, &wanted) == 0 &&
	       compare_number(&c, (uint64_t)count, wanted);
}

uint64_t host_tasks_max(struct units *units)
{
	static const char *const bounds[] = {"/proc/sys/kernel/pid_max",
					     "/proc/sys/kernel/threads-max",
					     "/sys/fs/cgroup/pids.max"};
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < ARRAY_COUNT(bounds); i++) {
		char *text = arena_string(&units->arena, host_read_text(units, bounds[i]));
		uint64_t bound;
		text[strcspn(text, "\n")] = '\0';
		/* "max" is none. */
		if (str_parse_u64(text, INT32_MAX, &bound) == 0 && bound < least)
			least = bound;
	}
	return least;
}
