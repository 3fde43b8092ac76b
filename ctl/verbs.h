#pragma once
/* The verbs of holdfastctl: each takes what stands behind its name and returns the exit status. */
#define CTL_OK		0
#define CTL_NOT_UP	3 /* status: a wanted unit is not up */
#define CTL_NO_UNIT	4 /* status: no unit of that name */
#define CTL_USAGE	64
#define CTL_NO_INSTANCE 69
#define CTL_BAD_OUTPUT	74 /* stdout cannot be written */
#define CTL_NOT_SEEN	77 /* executed by whom the gate cannot see */

struct ctl_options {
	const char *directory; /* --run; NULL: search */
};

int ctl_status(const struct ctl_options *options, int argc, char **argv);
int ctl_dump(const struct ctl_options *options, int argc, char **argv);
int ctl_probe(const struct ctl_options *options, int argc, char **argv);
int ctl_sleep(const struct ctl_options *options, int argc, char **argv);
int ctl_version(const struct ctl_options *options, int argc, char **argv);

/* One line on stderr that starts with the program's name; returns CTL_USAGE. */
int ctl_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and returns status. */
int ctl_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
