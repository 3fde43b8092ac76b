#include "tests/support/helperbed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/sys.h"

extern char **environ;

noreturn void helperbed_die(const char *what)
{
	perror(what);
	_exit(99);
}

int helperbed_memory(const char *name)
{
	int fd = sys_memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		helperbed_die("memfd_create");
	return fd;
}

static int environment(void)
{
	int fd = helperbed_memory("environ");

	for (char **e = environ; *e; e++) {
		if (io_write_all(fd, *e, strlen(*e) + 1) < 0)
			helperbed_die("environ");
	}
	return fd;
}

struct store_table *helperbed_store(void)
{
	struct store_table *store;

	/* The store takes the first fd that is free for it. */
	if (fcntl(STORE_FD, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) < 0)
		helperbed_die("/dev/null");
	if (store_create(64, &store) < 0 || store_put(store, STORE_ENVIRON, 0, environment()) < 0)
		helperbed_die("store");
	return store;
}

void helperbed_begin(const struct secretrequest_head *head, struct strbuf *ret_buf)
{
	char *data = malloc(SECRETREQUEST_MAX + 1);

	if (!data)
		helperbed_die("malloc");
	strbuf_init(ret_buf, data, SECRETREQUEST_MAX + 1);
	secretrequest_begin(ret_buf, head);
}

int helperbed_end(struct strbuf *buf)
{
	int fd = helperbed_memory("request");

	if (secretrequest_end(buf) < 0 || io_write_all(fd, buf->data, buf->length) < 0)
		helperbed_die("request");
	return fd;
}

noreturn void helperbed_exec(const char *program, enum role role, const struct store_table *store,
			     int input, int output)
{
	char *argv[] = {
		(char *)(role == ROLE_SECRETS ? "holdfast-secrets" : "holdfast-secrets-remote"),
		NULL};
	/* For a sanitized build alone: looking for leaks needs ptrace, and it is not dumpable. */
	char *envp[] = {(char *)"ASAN_OPTIONS=detect_leaks=0", NULL};

	store_expose(store, role);
	if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
		helperbed_die("dup2");
	if (input > STDERR_FILENO)
		(void)close(input);
	if (output > STDERR_FILENO)
		(void)close(output);
	(void)execve(program, argv, envp);
	helperbed_die(program);
}
