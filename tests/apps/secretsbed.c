/* TESTS: tests/support/helperbed.c lib/secretrequest.c lib/store.c lib/plan.c lib/str.c lib/fd.c lib/sys.c lib/io.c */
/*
 * secretsbed PROGRAM OUTPUT UNIT UID [NAME REFERENCE DELIVERY FLAGS SOURCE]...
 *
 * Starts holdfast-secrets as PID 1 and the supervisor would: a store with this process's own
 * environment in it, a request for the given items, a memfd to be filled. SOURCE is "-" or a file
 * that is opened here, to be inherited. What the memfd holds in the end is written to OUTPUT, its
 * seals and the exit status to stdout. With UNIT "-" the request is what stands on stdin.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/io.h"
#include "tests/support/helperbed.h"

static int request(struct store_table *store, char **argv)
{
	struct strbuf buf;
	const struct secretrequest_head head = {
		.unit = argv[3],
		.uid = (uint32_t)strtoul(argv[4], NULL, 10),
		.state_fd = -1,
		.report_fd = -1,
		.old_fd = -1,
		.lines = EVENT_FOR_LOG,
	};

	helperbed_begin(&head, &buf);
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
				helperbed_die(argv[4]);
		}
		secretrequest_add(&buf, &item);
	}
	return helperbed_end(&buf);
}

static void copy_out(int from, const char *path)
{
	char chunk[65536];
	int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	off_t at = 0;

	for (ssize_t n; (n = pread(from, chunk, sizeof(chunk), at)) > 0; at += n) {
		if (io_write_all(to, chunk, (size_t)n) < 0)
			helperbed_die(path);
	}
}

int main(int argc, char **argv)
{
	int status;

	if (argc < 5 || (argc - 5) % 5 != 0)
		return 64;
	struct store_table *store = helperbed_store();
	int input = strcmp(argv[3], "-") == 0 ? STDIN_FILENO : request(store, argv);
	int output = helperbed_memory("secret");
	pid_t pid = fork();
	if (pid < 0)
		helperbed_die("fork");
	if (pid == 0)
		helperbed_exec(argv[1], ROLE_SECRETS, store, input, output);
	printf("pid %d\n", pid);
	(void)fflush(stdout);
	if (waitpid(pid, &status, 0) != pid)
		helperbed_die("waitpid");
	copy_out(output, argv[2]);
	printf("seals %d\n", fcntl(output, F_GET_SEALS));
	printf("exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	return 0;
}
