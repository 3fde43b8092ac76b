/* TESTS: tests/support/helperbed.c lib/secretrequest.c lib/store.c lib/plan.c lib/str.c lib/fd.c lib/sys.c lib/io.c */
/*
 * remotebed PROGRAM FOLDER UNIT UID OPERATION DEADLINE-MS [SETTING]... -- [NAME REFERENCE DELIVERY FLAGS]...
 *
 * One run of holdfast-secrets-remote, started as PID 1 and the supervisor would: a store with this
 * process's own environment in it, a request, and files of FOLDER for what is handed from run to run:
 * state (kept), old (the values of before, if there is such a file), values and report (made anew).
 * Ends with the program's exit status.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/helperbed.h"

static const char *folder;

/* Inherited by the program, as the supervisor's child leaves them. */
static int open_file(const char *name, int flags)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, flags, 0600);
	if (fd < 0 && (flags & O_CREAT))
		helperbed_die(path);
	return fd;
}

static void add_items(struct strbuf *buf, char **argv)
{
	for (; argv[0]; argv += 4) {
		if (!argv[1] || !argv[2] || !argv[3])
			helperbed_die("NAME REFERENCE DELIVERY FLAGS");
		const struct secretrequest_item item = {
			.name = argv[0],
			.reference = argv[1],
			.delivery = (uint32_t)atoi(argv[2]),
			.flags = (uint32_t)atoi(argv[3]),
			.fd = -1,
		};
		secretrequest_add(buf, &item);
	}
}

static int request(char **argv)
{
	struct strbuf buf;
	const struct secretrequest_head head = {
		.unit = argv[3],
		.uid = (uint32_t)strtoul(argv[4], NULL, 10),
		.operation = (uint32_t)atoi(argv[5]),
		.deadline_ms = (uint32_t)atoi(argv[6]),
		.state_fd = open_file("state", O_RDWR | O_CREAT),
		.report_fd = open_file("report", O_RDWR | O_CREAT | O_TRUNC),
		.old_fd = open_file("old", O_RDONLY),
		.lines = EVENT_FOR_LOG,
	};

	helperbed_begin(&head, &buf);
	for (argv += 7; *argv && strcmp(*argv, "--") != 0; argv++)
		secretrequest_setting(&buf, *argv);
	add_items(&buf, *argv ? argv + 1 : argv);
	return helperbed_end(&buf);
}

int main(int argc, char **argv)
{
	if (argc < 7)
		return 64;
	folder = argv[2];
	struct store_table *store = helperbed_store();
	int input = request(argv), output = open_file("values", O_RDWR | O_CREAT | O_TRUNC);
	helperbed_exec(argv[1], ROLE_SECRETS_REMOTE, store, input, output);
}
