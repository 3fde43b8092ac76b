/*
 * holdfast-check: the units, their graph and holdfast.conf, offline, by the same code that reads
 * them at boot. With --root it looks at an image's tree and nothing outside of it: a user or a
 * program that the image lacks is an error. Without, the image is not at hand, and such things are
 * warnings.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/json.h"
#include "lib/str.h"
#include "units/compile.h"

#define LINE_MAX_BYTES 65536

struct check {
	const char *root, *conf, *units_dir;
	bool is_json, is_strict;
	const char **names; /* of units, and of files as paths below the root; NULL-ended */
	size_t n_errors, n_warnings;
};

static const char usage[] =
	"usage: holdfast-check [--root DIR] [--json] [--strict] [--conf FILE] [--units DIR] "
	"[UNIT|FILE...]\n"
	"\n"
	"  --root DIR   check the tree of an image; every other path is below it\n"
	"  --json       one JSON object on stdout\n"
	"  --strict     what holdfast does not know is an error\n"
	"  --conf FILE  instead of /etc/holdfast/holdfast.conf\n"
	"  --units DIR  look for units there first\n"
	"\n"
	"Without UNIT or FILE: what Units= of holdfast.conf names.\n"
	"Exit status: 0 fine, 78 errors, 64 usage, 66 no such tree.\n";

static bool is_error(const struct check *check, const struct diag *diag)
{
	return diag->level == DIAG_ERROR || (check->is_strict && diag->is_unknown);
}

static void count(struct check *check, const struct diag_list *list)
{
	size_t n_items = 0;

	for (size_t i = 0; i < list->count; i++) {
		n_items += list->items[i].level == DIAG_ERROR;
		if (is_error(check, &list->items[i]))
			check->n_errors++;
		else
			check->n_warnings++;
	}
	/* Those that the list had no room for. */
	check->n_errors += list->n_errors - n_items;
}

/* ---------------------------------------------------------------- for people */

static void print_diag(const struct check *check, const struct diag *diag)
{
	if (diag->file)
		printf("%s:", diag->file);
	if (diag->file && diag->line > 0)
		printf("%u:", diag->line);
	if (diag->file && diag->line > 0 && diag->column > 0)
		printf("%u:", diag->column);
	printf("%s%s: %s\n", diag->file ? " " : "", is_error(check, diag) ? "error" : "warning",
	       diag->message);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void print_text(const struct check *check, const struct units *units)
{
	const struct diag_list *list = units_diagnostics(units);

	for (size_t i = 0; i < list->count; i++)
		print_diag(check, &list->items[i]);
	printf("%zu unit%s, %zu error%s, %zu warning%s\n", units_count(units),
	       plural(units_count(units)), check->n_errors, plural(check->n_errors),
	       check->n_warnings, plural(check->n_warnings));
}

/* ---------------------------------------------------------------- for programs */

static void print_element(const struct strbuf *line, size_t i)
{
	printf("%s%s", i > 0 ? "," : "", line->data);
}

static void print_diags(const struct check *check, const struct diag_list *list,
			struct strbuf *line)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct diag *diag = &list->items[i];
		strbuf_reset(line);
		json_object_begin(line);
		json_add_string(line, "level", is_error(check, diag) ? "error" : "warning");
		if (diag->file)
			json_add_string(line, "file", diag->file);
		if (diag->line > 0)
			json_add_u64(line, "line", diag->line);
		if (diag->column > 0)
			json_add_u64(line, "column", diag->column);
		json_add_string(line, "message", diag->message);
		json_add_bool(line, "unknown", diag->is_unknown);
		json_add_i64(line, "status", diag->status);
		json_object_end(line);
		print_element(line, i);
	}
}

static void print_units(const struct units *units, struct strbuf *line)
{
	for (size_t i = 0; i < units_count(units); i++) {
		struct units_summary unit = units_summary(units, i);
		strbuf_reset(line);
		json_object_begin(line);
		json_add_string(line, "name", unit.name);
		if (*unit.file)
			json_add_string(line, "file", unit.file);
		if (unit.type)
			json_add_string(line, "type", unit.type);
		json_add_bool(line, "wanted", unit.is_wanted);
		json_add_bool(line, "essential", unit.is_essential);
		json_object_end(line);
		print_element(line, i);
	}
}

static void print_config(const struct units *units, struct strbuf *line)
{
	const char *const *lines = units_conf(units)->config_lines;

	for (size_t i = 0; lines[i]; i++) {
		strbuf_reset(line);
		json_string(line, lines[i]);
		print_element(line, i);
	}
}

static int print_json(const struct check *check, const struct units *units)
{
	char *data = malloc(LINE_MAX_BYTES);
	struct strbuf line;

	if (!data)
		return -ENOMEM;
	strbuf_init(&line, data, LINE_MAX_BYTES);
	printf("{\"errors\":%zu,\"warnings\":%zu,\"diagnostics\":[", check->n_errors,
	       check->n_warnings);
	print_diags(check, units_diagnostics(units), &line);
	printf("],\"units\":[");
	print_units(units, &line);
	printf("],\"config\":[");
	print_config(units, &line);
	printf("]}\n");
	free(data);
	return 0;
}

/* ---------------------------------------------------------------- the command line */

static int fail(int status, const char *what, int error)
{
	(void)fprintf(stderr, "holdfast-check: %s: %s\n", what, strerror(error));
	return status;
}

/*
 * A path is named from here: without --root the root is /, and the path made absolute, its folder's
 * links resolved. With --root it is below that already.
 */
static int find_path(const struct check *check, const char *argument, const char **ret_path)
{
	const char *slash = strrchr(argument, '/');
	char *folder, *path;

	*ret_path = argument;
	if (check->root || *argument == '/')
		return 0;
	char *name = slash ? strndup(argument, (size_t)(slash - argument)) : strdup(".");
	folder = name ? realpath(name, NULL) : NULL;
	int error = errno;
	free(name);
	if (!folder)
		return fail(EX_NOINPUT, argument, error);
	int r = asprintf(&path, "%s/%s", folder, slash ? slash + 1 : argument);
	free(folder);
	if (r < 0)
		return fail(EX_SOFTWARE, argument, ENOMEM);
	*ret_path = path;
	return 0;
}

/* Once --root is known. */
static int find_paths(struct check *check)
{
	int status = 0;

	if (check->conf)
		status = find_path(check, check->conf, &check->conf);
	if (status == 0 && check->units_dir)
		status = find_path(check, check->units_dir, &check->units_dir);
	for (const char **name = check->names; status == 0 && name && *name; name++) {
		if (strchr(*name, '/'))
			status = find_path(check, *name, name);
	}
	return status;
}

static int parse_options(struct check *check, int argc, char **argv)
{
	static const struct option options[] = {
		{"root", required_argument, NULL, 'r'},	 {"json", no_argument, NULL, 'j'},
		{"strict", no_argument, NULL, 's'},	 {"conf", required_argument, NULL, 'c'},
		{"units", required_argument, NULL, 'u'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},	 {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'r': check->root = optarg; break;
		case 'j': check->is_json = true; break;
		case 's': check->is_strict = true; break;
		case 'c': check->conf = optarg; break;
		case 'u': check->units_dir = optarg; break;
		case 'h': fputs(usage, stdout); exit(0);
		case 'V': puts("holdfast-check " HOLDFAST_VERSION); exit(0);
		default: fputs(usage, stderr); return EX_USAGE;
		}
	}
	if (optind == argc)
		return 0;
	check->names = calloc((size_t)(argc - optind) + 1, sizeof(*check->names));
	if (!check->names)
		return fail(EX_SOFTWARE, "arguments", ENOMEM);
	memcpy(check->names, argv + optind, (size_t)(argc - optind) * sizeof(*argv));
	return 0;
}

static int run(struct check *check)
{
	struct units *units = NULL;
	struct units_request request = {
		.conf = check->conf,
		.units_dir = check->units_dir,
		.units = check->names,
		.is_offline = !check->root,
		.hostname = "localhost",
	};
	const char *root = check->root ? check->root : "/";
	CLEANUP(fd_closep) int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail(EX_NOINPUT, root, errno);
	request.root_fd = fd;
	int r = units_load(&request, &units);
	if (r < 0)
		return fail(EX_SOFTWARE, "loading", -r);
	count(check, units_diagnostics(units));
	if (check->is_json)
		r = print_json(check, units);
	else
		print_text(check, units);
	units_free(units);
	if (r < 0 || fflush(stdout) != 0)
		return fail(EX_IOERR, "stdout", r < 0 ? -r : errno);
	return check->n_errors > 0 ? EX_CONFIG : 0;
}

int main(int argc, char **argv)
{
	static struct check check;

	int status = parse_options(&check, argc, argv);
	if (status == 0)
		status = find_paths(&check);
	return status != 0 ? status : run(&check);
}
