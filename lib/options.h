#pragma once
/*
 * holdfast's command line, which PID 1 and holdfast-boot both get. It decides the mode and holds
 * what command mode needs. What is for the units (--health, --secret, …) is collected as it was
 * written, as settings, and interpreted by holdfast-boot alone.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/signals.h"

#define OPTIONS_GRACE_S	    10
#define OPTIONS_MESSAGE_MAX 256

enum options_mode {
	OPTIONS_COMMAND, /* `-- CMD` and nothing that needs a supervisor */
	OPTIONS_MANAGED, /* units, or CMD as the unit main.service */
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

#define OPTIONS_SETTINGS_MAX 128

/* --name=value as it was given. */
struct options_setting {
	const char *name;  /* "health": without the dashes */
	const char *value; /* NULL where an optional argument was left out; borrowed from argv */
};

struct options {
	enum options_mode mode;
	int argc;
	char **argv;	/* all of it, as given; borrowed */
	char **command; /* what follows `--`, NULL-ended; NULL: there was no `--` */
	/* A word where an option should stand, and no `--` at all; NULL: none. A mistake, but on a
	 * host, where the kernel hands init the words of its command line that it does not know. */
	const char *stray;

	struct options_setting settings[OPTIONS_SETTINGS_MAX];
	size_t n_settings;

	bool is_group;		 /* -g */
	bool is_wait_all;	 /* -w */
	uint32_t grace_s;	 /* of -w */
	int pdeath_signal;	 /* -p; 0: none */
	bool remap_to_zero[256]; /* -e; by exit status */
	/* -r; by signal; 0: dropped. Of a supervised command only TERM's is not itself. */
	uint8_t rewrite[SIGNALS_MAX + 1];
	uint64_t rewritten; /* SIGNALS_BITs that -r named */
};

/*
 * 0, or -EINVAL with a sentence in ret_message that says what was expected. Reads no environment
 * and starts nothing. argv must outlive the options.
 */
int options_parse(int argc, char **argv, struct options *ret_options,
		  char ret_message[OPTIONS_MESSAGE_MAX]);

extern const char options_help[];
