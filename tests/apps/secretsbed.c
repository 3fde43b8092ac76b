/* TESTS: lib/secretrequest.c lib/store.c lib/plan.c lib/str.c lib/fd.c lib/sys.c lib/io.c */
/*
 * secretsbed PROGRAM OUTPUT UNIT UID [NAME REFERENCE DELIVERY FLAGS SOURCE]...
 *
 * Starts holdfast-secrets as PID 1 and the supervisor would: a store with this process's own
 * environment in it, a request for the given items, a memfd to be filled. SOURCE is "-" or a file
 * that is opened here, to be inherited. What the memfd holds in the end is written to OUTPUT, its
 * seals and the exit status to stdout. With UNIT "-" the request is what stands on stdin.
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

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int memory(const char *name)
{
	int fd = sys_memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

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

static int request(struct store_table *store, char **argv)
{
	struct strbuf buf;
	char *data = malloc(SECRETREQUEST_MAX + 1);
	int fd = memory("request");

	strbuf_init(&buf, data, SECRETREQUEST_MAX + 1);
	const struct secretrequest_head head = {
		.unit = argv[3],
		.uid = (uint32_t)strtoul(argv[4], NULL, 10),
		.state_fd = -1,
		.report_fd = -1,
		.old_fd = -1,
	};
	secretrequest_begin(&buf, &head);
	argv += 5;
	for (uint32_t i = 0; argv[0]; argv += 5, i++) {
		struct secretrequest_item item = {
			.name = argv[0],
			.reference = argv[1],
			.delivery = (uint32_t)atoi(argv[2]),
			.flags = (uint32_t)atoi(argv[3]),
			.fd = -1,
		};
		if (strcmp(argv[4], "-") != 0) {
			item.fd = open(argv[4], O_RDONLY | O_CLOEXEC);
			if (item.fd < 0 || store_put(store, STORE_SECRET_FILE, i, item.fd) < 0)
				die(argv[4]);
		}
		secretrequest_add(&buf, &item);
	}
	if (secretrequest_end(&buf) < 0 || io_write_all(fd, data, buf.length) < 0)
		die("request");
	return fd;
}

static void start(const char *program, const struct store_table *store, int input, int output)
{
	char *argv[] = {(char *)"holdfast-secrets", NULL};
	/* For a sanitized build alone: looking for leaks needs ptrace, and it is not dumpable. */
	char *envp[] = {(char *)"ASAN_OPTIONS=detect_leaks=0", NULL};

	store_expose(store, ROLE_SECRETS);
	if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		_exit(99);
	(void)execve(program, argv, envp);
	_exit(99);
}

static void copy_out(int from, const char *path)
{
	char chunk[65536];
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t at = 0;

	for (ssize_t n; (n = pread(from, chunk, sizeof(chunk), at)) > 0; at += n) {
		if (io_write_all(to, chunk, (size_t)n) < 0)
			die(path);
	}
}

int main(int argc, char **argv)
{
	struct store_table *store;
	int status;

	if (argc < 5 || (argc - 5) % 5 != 0)
		return 64;
	if (fcntl(STORE_FD, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) < 0)
		die("/dev/null");
	if (store_create(64, &store) < 0 || store_put(store, STORE_ENVIRON, 0, environment()) < 0)
		die("store");
	int input = strcmp(argv[3], "-") == 0 ? STDIN_FILENO : request(store, argv);
	int output = memory("secret");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		start(argv[1], store, input, output);
	printf("pid %d\n", pid);
	(void)fflush(stdout);
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	copy_out(output, argv[2]);
	printf("seals %d\n", fcntl(output, F_GET_SEALS));
	printf("exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	return 0;
}
