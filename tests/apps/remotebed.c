/* TESTS: lib/secretrequest.c lib/store.c lib/plan.c lib/str.c lib/fd.c lib/sys.c lib/io.c */
/*
 * remotebed PROGRAM FOLDER UNIT UID OPERATION DEADLINE-MS [SETTING]... -- [NAME REFERENCE DELIVERY FLAGS]...
 *
 * One run of holdfast-secrets-remote, started as PID 1 and the supervisor would: a store with this
 * process's own environment in it, a request, and files of FOLDER for what is handed from run to run:
 * state (kept), old (the values of before, if there is such a file), values and report (made anew).
 * Ends with the program's exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/io.h"
#include "lib/secretrequest.h"
#include "lib/store.h"
#include "lib/sys.h"

extern char **environ;

static const char *folder;

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static int memory(const char *name)
{
	int fd = sys_memfd_create(name, MFD_ALLOW_SEALING);

	if (fd < 0)
		die("memfd_create");
	return fd;
}

static int environment(void)
{
	int fd = memory("environ");

	for (char **e = environ; *e; e++) {
		if (io_write_all(fd, *e, strlen(*e) + 1) < 0)
			die("environ");
	}
	return fd;
}

/* Inherited by the program, as the supervisor's child leaves them. */
static int open_file(const char *name, int flags)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	int fd = open(path, flags, 0600);
	if (fd < 0 && (flags & O_CREAT))
		die(path);
	return fd;
}

static void add_items(struct strbuf *buf, char **argv)
{
	for (; argv[0]; argv += 4) {
		if (!argv[1] || !argv[2] || !argv[3])
			die("NAME REFERENCE DELIVERY FLAGS");
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
	char *data = malloc(SECRETREQUEST_MAX + 1);
	int fd = memory("request");
	const struct secretrequest_head head = {
		.unit = argv[3],
		.uid = (uint32_t)strtoul(argv[4], NULL, 10),
		.operation = (uint32_t)atoi(argv[5]),
		.deadline_ms = (uint32_t)atoi(argv[6]),
		.state_fd = open_file("state", O_RDWR | O_CREAT),
		.report_fd = open_file("report", O_RDWR | O_CREAT | O_TRUNC),
		.old_fd = open_file("old", O_RDONLY),
	};

	strbuf_init(&buf, data, SECRETREQUEST_MAX + 1);
	secretrequest_begin(&buf, &head);
	for (argv += 7; *argv && strcmp(*argv, "--") != 0; argv++)
		secretrequest_setting(&buf, *argv);
	add_items(&buf, *argv ? argv + 1 : argv);
	if (secretrequest_end(&buf) < 0 || io_write_all(fd, data, buf.length) < 0)
		die("request");
	return fd;
}

int main(int argc, char **argv)
{
	char *child_argv[] = {(char *)"holdfast-secrets-remote", NULL};
	/* For a sanitized build alone: looking for leaks needs ptrace, and it is not dumpable. */
	char *envp[] = {(char *)"ASAN_OPTIONS=detect_leaks=0", NULL};
	struct store_table *store;

	if (argc < 7)
		return 64;
	folder = argv[2];
	if (fcntl(STORE_FD, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) < 0)
		die("/dev/null");
	if (store_create(64, &store) < 0 || store_put(store, STORE_ENVIRON, 0, environment()) < 0)
		die("store");
	int input = request(argv), output = open_file("values", O_RDWR | O_CREAT | O_TRUNC);
	store_expose(store, ROLE_SECRETS_REMOTE);
	if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		die("dup2");
	(void)close(input);
	(void)close(output);
	(void)execve(argv[1], child_argv, envp);
	die(argv[1]);
}
