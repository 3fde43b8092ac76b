/*
 * holdfastctl: looks at the instance from inside it, and changes nothing, since nothing does.
 *
 * It links libc alone and needs no other program, so that it can be the one thing in an image that
 * may be executed from outside: a HEALTHCHECK, a preStop hook, a look at what is wrong.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/verbs.h"
#include "ctl/visitor.h"
#include "lib/cleanup.h"
#include "lib/str.h"

static const struct {
	const char *name;
	int (*run)(const struct ctl_options *options, int argc, char **argv);
	const char *usage;
} verbs[] = {
	{"status", ctl_status, "status [--json] [UNIT...]"},
	{"dump", ctl_dump, "dump [--since TIME] [--digest]"},
	{"probe", ctl_probe, "probe [--timeout S] [URL | --ready | --live]"},
	{"sleep", ctl_sleep, "sleep SECONDS"},
	{"version", ctl_version, "version"},
};

static int show_help(FILE *to)
{
	(void)fprintf(to, "usage: holdfastctl [--run DIR] VERB\n");
	for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
		(void)fprintf(to, "  %s\n", verbs[i].usage);
	return to == stdout ? CTL_OK : CTL_USAGE;
}

int ctl_version(const struct ctl_options *options, int argc, char **argv)
{
	(void)options;
	if (argc > 0)
		return ctl_usage("version takes no argument, and \"%s\" was given", argv[0]);
	/* The line's end flushes it, so that a failure of that is one of printf(3). */
	bool is_written = printf("holdfast %s\n", HOLDFAST_VERSION) >= 0 && fflush(stdout) == 0;
	return is_written ? CTL_OK : CTL_BAD_OUTPUT;
}

int main(int argc, char **argv)
{
	struct ctl_options options = {0};
	int at = 1;

	if (at < argc && str_equal(argv[at], "--run")) {
		if (at + 1 >= argc)
			return ctl_usage("--run wants a directory");
		options.directory = argv[at + 1];
		at += 2;
	}
	int r = visitor_settle(options.directory);
	if (r != CTL_OK)
		return r;
	if (at >= argc)
		return show_help(stderr);
	if (str_equal(argv[at], "--help") || str_equal(argv[at], "-h"))
		return show_help(stdout);
	if (str_equal(argv[at], "--version"))
		return ctl_version(&options, 0, NULL);
	for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
		if (str_equal(argv[at], verbs[i].name))
			return verbs[i].run(&options, argc - at - 1, argv + at + 1);
	}
	(void)ctl_usage("\"%s\" is no verb", argv[at]);
	return show_help(stderr);
}
