/*
 * holdfast-check: the units, their graph and holdfast.conf, offline, by the same code that reads
 * them at boot. With --root it looks at an image and nothing outside of it: a user or a program that
 * the image lacks is an error, and so is what no image may have (tools/lint.h). Without, the image is
 * not at hand, and such things are warnings.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/json.h"
#include "lib/str.h"
#include "tools/image.h"
#include "tools/lint.h"
#include "units/compile.h"

#define LINE_MAX_BYTES 65536

struct check {
	const char *root, *conf, *units_dir;
	bool is_json, is_strict;
	const char **names;   /* of units, and of files as paths below the root; NULL-ended */
	const char **allowed; /* of the lint; NULL-ended */
	struct image *image;  /* with --root alone */
	struct lint *lint;
	size_t n_errors, n_warnings;
};

static const char usage[] =
	"usage: holdfast-check [--root IMAGE [--allow RULE[:PATTERN]]...] [--json] [--strict]\n"
	"                      [--conf FILE] [--units DIR] [UNIT|FILE...]\n"
	"\n"
	"  --root IMAGE  check an image: a tree, an OCI layout, or an archive of either;\n"
	"                every other path is below its root. PATH:TAG names one of several\n"
	"  --allow RULE[:PATTERN]\n"
	"                what the image may have all the same, everywhere or at those paths\n"
	"  --json        one JSON object on stdout\n"
	"  --strict      what holdfast does not know is an error\n"
	"  --conf FILE   instead of /etc/holdfast/holdfast.conf\n"
	"  --units DIR   look for units there first\n"
	"\n"
	"Without UNIT or FILE: what Units= of holdfast.conf names.\n"
	"Exit status: 0 fine, 78 errors, 64 usage, 65 not an image, 66 no such image.\n";

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

static size_t findings(const struct check *check, const struct lint_finding **ret_findings)
{
	return check->lint ? lint_findings(check->lint, ret_findings) : 0;
}

static void count_findings(struct check *check)
{
	const struct lint_finding *found = NULL;
	size_t n = findings(check, &found);

	for (size_t i = 0; i < n; i++) {
		if (found[i].is_allowed)
			continue;
		if (found[i].is_error)
			check->n_errors++;
		else
			check->n_warnings++;
	}
}

static const char *level_name(bool is_error)
{
	return is_error ? "error" : "warning";
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
	printf("%s%s: %s\n", diag->file ? " " : "", level_name(is_error(check, diag)),
	       diag->message);
}

/* Names come from the image, whoever made it. */
static void print_finding(const struct check *check, const struct lint_finding *finding)
{
	char data[2 * PATH_MAX];
	struct strbuf path;

	strbuf_init(&path, data, sizeof(data));
	json_printable(&path, finding->path, strlen(finding->path));
	printf("%s: %s: ", data, level_name(finding->is_error));
	strbuf_reset(&path);
	json_printable(&path, finding->message, strlen(finding->message));
	printf("%s", data);
	if (image_layers(check->image) > 1 && *finding->path == '/')
		printf(", in layer %zu%s", finding->layer + 1,
		       image_shows(check->image, finding->path, finding->layer)
			       ? ""
			       : ", though a later one hides it");
	printf(" [%s]\n", finding->rule);
}

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void print_text(const struct check *check, const struct units *units)
{
	const struct diag_list *list = units_diagnostics(units);

	const struct lint_finding *found = NULL;
	size_t n_found = findings(check, &found);

	for (size_t i = 0; i < list->count; i++)
		print_diag(check, &list->items[i]);
	for (size_t i = 0; i < n_found; i++) {
		if (!found[i].is_allowed)
			print_finding(check, &found[i]);
	}
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
		json_add_string(line, "level", level_name(is_error(check, diag)));
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

static void print_findings(const struct check *check, struct strbuf *line)
{
	const struct lint_finding *found = NULL;
	size_t n_found = findings(check, &found);

	for (size_t i = 0; i < n_found; i++) {
		strbuf_reset(line);
		json_object_begin(line);
		json_add_string(line, "rule", found[i].rule);
		json_add_string(line, "level", level_name(found[i].is_error));
		json_add_bool(line, "allowed", found[i].is_allowed);
		json_add_string(line, "path", found[i].path);
		json_add_u64(line, "layer", found[i].layer + 1);
		json_add_string(line, "message", found[i].message);
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
	printf("],\"findings\":[");
	print_findings(check, &line);
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
		{"root", required_argument, NULL, 'r'},
		{"allow", required_argument, NULL, 'a'},
		{"json", no_argument, NULL, 'j'},
		{"strict", no_argument, NULL, 's'},
		{"conf", required_argument, NULL, 'c'},
		{"units", required_argument, NULL, 'u'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	size_t n_allowed = 0;
	int option;

	check->allowed = calloc((size_t)argc + 1, sizeof(*check->allowed));
	if (!check->allowed)
		return fail(EX_SOFTWARE, "arguments", ENOMEM);

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'r': check->root = optarg; break;
		case 'a': check->allowed[n_allowed++] = optarg; break;
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

/* The image with --root, else where we are. Its findings are complete from then on. */
static int open_root(struct check *check, int *ret_fd)
{
	char text[PATH_MAX + 1024] = "";
	struct strbuf message;

	if (!check->root) {
		*ret_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return *ret_fd < 0 ? fail(EX_NOINPUT, "/", errno) : 0;
	}
	check->lint = lint_create(check->allowed);
	if (!check->lint)
		return fail(EX_SOFTWARE, check->root, ENOMEM);
	const char *unknown = lint_unknown_rule(check->lint);
	if (unknown) {
		(void)fprintf(stderr, "holdfast-check: --allow %s: no such rule\n%s", unknown,
			      usage);
		return EX_USAGE;
	}
	struct image_visitor visitor = lint_visitor(check->lint);
	strbuf_init(&message, text, sizeof(text));
	int r = image_open(check->root, &visitor, &message, &check->image);
	if (r < 0) {
		(void)fprintf(stderr, "holdfast-check: %s: %s\n", check->root, text);
		return r == -ENOENT ? EX_NOINPUT : r == -ENOTUNIQ ? EX_USAGE : EX_DATAERR;
	}
	if (lint_finish(check->lint, check->image) < 0)
		return fail(EX_SOFTWARE, check->root, ENOMEM);
	*ret_fd = fcntl(image_root(check->image), F_DUPFD_CLOEXEC, 0);
	return *ret_fd < 0 ? fail(EX_OSERR, check->root, errno) : 0;
}

/* holdfast -- COMMAND, which needs no unit. */
static bool runs_one_command(const struct image *image)
{
	const struct image_config *config = image ? image_config(image) : NULL;

	for (char **word = config ? config->command : NULL; word && *word; word++) {
		if (strcmp(*word, "--") == 0)
			return true;
	}
	return false;
}

static int check_units(struct check *check, int root_fd)
{
	static const char *const none[] = {NULL};
	struct units *units = NULL;
	struct units_request request = {
		.root_fd = root_fd,
		.conf = check->conf,
		.units_dir = check->units_dir,
		.units = check->names,
		.is_offline = !check->root,
		.hostname = "localhost",
	};
	if (!check->names && runs_one_command(check->image))
		request.units = none;
	int r = units_load(&request, &units);
	if (r < 0)
		return fail(EX_SOFTWARE, "loading", -r);
	count(check, units_diagnostics(units));
	count_findings(check);
	if (check->is_json)
		r = print_json(check, units);
	else
		print_text(check, units);
	units_free(units);
	if (r < 0 || fflush(stdout) != 0)
		return fail(EX_IOERR, "stdout", r < 0 ? -r : errno);
	return check->n_errors > 0 ? EX_CONFIG : 0;
}

/* A folder in a folder in a folder: each that is walked through is held open. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	static struct check check;
	int fd = -EBADF;

	raise_file_limit();
	/* Names in archives are UTF-8 (libarchive converts them to what the locale says). */
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	int status = parse_options(&check, argc, argv);
	if (status == 0)
		status = find_paths(&check);
	if (status == 0)
		status = open_root(&check, &fd);
	if (status == 0)
		status = check_units(&check, fd);
	(void)fd_close(fd);
	lint_free(check.lint);
	image_close(check.image);
	return status;
}
