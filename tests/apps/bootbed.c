/*
 * PID 1's side of holdfast-boot, for tests: makes the store, hands over the environment and a
 * channel, runs boot, and prints one JSON object a line of what came: each packet with what its fd
 * is, then what boot left behind (mounts, the plan's header and protections), then its exit status.
 *
 *   bootbed BOOT [ARG...]        ARGs are PID 1's
 *
 * TESTS: lib/store.c lib/proto.c lib/plan.c lib/fd.c lib/io.c lib/str.c lib/sys.c lib/json.c
 * lib/clock.c
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/io.h"
#include "lib/json.h"
#include "lib/plan.h"
#include "lib/proto.h"
#include "lib/store.h"
#include "lib/sys.h"

#define LINE_MAX_BYTES (1U << 20)

extern char **environ;

static char memory[LINE_MAX_BYTES];
static struct strbuf line;
static int plan_fd = -1, public_fd = -1;

static void die(const char *what)
{
	perror(what);
	exit(99);
}

static void begin(const char *type)
{
	strbuf_init(&line, memory, sizeof(memory));
	json_object_begin(&line);
	json_add_string(&line, "type", type);
}

static void end(void)
{
	json_object_end(&line);
	strbuf_addc(&line, '\n');
	if (io_write_all(STDOUT_FILENO, line.data, line.length) < 0)
		die("write");
}

static int environment_fd(void)
{
	int fd = sys_memfd_create("environ", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	for (char **e = environ; *e; e++) {
		if (io_write_all(fd, *e, strlen(*e) + 1) < 0)
			die("environ");
	}
	return fd;
}

static void describe_socket(int fd)
{
	int on = 0, type = 0;
	socklen_t size = sizeof(on);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return;
	json_add_i64(&line, "socket_type", type);
	size = sizeof(on);
	if (getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, &size) == 0)
		json_add_i64(&line, "passcred", on);
	size = sizeof(on);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) == 0)
		json_add_i64(&line, "listens", on);
}

static void describe_fd(int fd)
{
	char path[32], link[512];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	link[n < 0 ? 0 : n] = '\0';
	json_add_string(&line, "link", link);
	json_add_i64(&line, "access", fcntl(fd, F_GETFL) & O_ACCMODE);
	json_add_i64(&line, "seals", fcntl(fd, F_GET_SEALS));
	if (fstat(fd, &st) == 0) {
		json_add_i64(&line, "size", st.st_size);
		json_add_i64(&line, "mode", st.st_mode);
	}
	if (S_ISSOCK(st.st_mode))
		describe_socket(fd);
}

static void take(const struct proto_packet *packet, int fd)
{
	static const char *const names[PROTO_TYPE_COUNT] = {
		[PROTO_HELLO] = "hello",   [PROTO_PUT] = "put",	      [PROTO_DROP] = "drop",
		[PROTO_BOOTED] = "booted", [PROTO_FAILED] = "failed",
	};

	begin(packet->type < PROTO_TYPE_COUNT && names[packet->type] ? names[packet->type] : "?");
	json_add_u64(&line, "kind", packet->kind);
	json_add_u64(&line, "index", packet->index);
	json_add_u64(&line, "value", packet->value);
	json_add_string(&line, "text", packet->text);
	if (fd >= 0)
		describe_fd(fd);
	end();
	if (packet->kind == STORE_PLAN)
		plan_fd = fd;
	else if (packet->kind == STORE_PLAN_PUBLIC)
		public_fd = fd;
}

/* Until boot's end of the channel is closed by its exit. */
static void receive(int channel)
{
	for (;;) {
		struct proto_packet packet;
		int fd = -EBADF;
		struct pollfd p = {.fd = channel, .events = POLLIN};
		(void)poll(&p, 1, -1);
		int r = proto_receive(channel, &packet, &fd);
		if (r == 0)
			return;
		if (r == 1)
			take(&packet, fd);
		else if (r != -EAGAIN)
			die("proto_receive");
	}
}

static void print_plan(const char *type, int fd)
{
	struct plan plan;

	if (fd < 0 || plan_map(fd, &plan) < 0)
		return;
	const struct plan_header *h = plan.header;
	begin(type);
	json_add_u64(&line, "flags", h->flags);
	json_add_u64(&line, "n_units", plan_unit_count(&plan));
	json_add_string(&line, "run_directory", plan_string(&plan, h->run_directory));
	json_add_string(&line, "credentials_directory",
			plan_string(&plan, h->credentials_directory));
	json_add_string(&line, "notify_address", plan_string(&plan, h->notify_address));
	json_add_u64(&line, "uid_log", h->uid_log);
	json_add_u64(&line, "n_listen", h->n_listen);
	json_add_u64(&line, "health_port", h->health_port);
	json_add_u64(&line, "stop_timeout_us", h->stop_timeout_us);
	json_key(&line, "units");
	json_array_begin(&line);
	for (uint32_t i = 0; i < plan_unit_count(&plan); i++) {
		json_comma(&line);
		json_string(&line, plan_unit_name(&plan, i));
	}
	json_array_end(&line);
	json_key(&line, "protections");
	json_object_begin(&line);
	for (uint32_t i = 0; i < plan_section_count(&plan, PLAN_PROTECTIONS); i++) {
		const struct plan_protection *p = plan_protection(&plan, i);
		json_key(&line, plan_string(&plan, p->name));
		json_array_begin(&line);
		json_string(&line, protection_level_names[p->level]);
		json_comma(&line);
		json_string(&line, plan_string(&plan, p->rung));
		json_comma(&line);
		json_string(&line, plan_string(&plan, p->why));
		json_array_end(&line);
	}
	json_object_end(&line);
	json_key(&line,
		 "bytes"); /* every byte, so that a test can look for what must not be there */
	json_bytes(&line, (const char *)plan.base, h->size);
	end();
}

static void print_file(const char *type, const char *path)
{
	static char text[LINE_MAX_BYTES / 4];
	ssize_t n = io_read_file(AT_FDCWD, path, text, sizeof(text));

	begin(type);
	json_key(&line, "text");
	json_bytes(&line, text, n < 0 ? 0 : (size_t)n);
	end();
}

static pid_t start(char **argv, struct store_table *store)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	store_expose(store, ROLE_BOOT);
	execve(argv[0], argv, (char *[]){NULL});
	die(argv[0]);
	return -1;
}

int main(int argc, char **argv)
{
	struct store_table *store;
	int ends[2], status;

	if (argc < 2)
		return 64;
	if (fd_ensure_stdio() < 0 && errno != ENOENT)
		die("stdio");
	if (getpid() != 1)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (store_create(64, &store) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		die("store");
	(void)store_put(store, STORE_ENVIRON, 0, environment_fd());
	(void)store_put(store, STORE_CHANNEL, 0, ends[1]);
	pid_t pid = start(argv + 1, store);
	/* The table is shared with boot and goes on naming it; only our copy goes. */
	(void)close(ends[1]);
	receive(ends[0]);
	if (waitpid(pid, &status, 0) < 0)
		die("waitpid");
	print_plan("plan", plan_fd);
	print_plan("public", public_fd);
	print_file("mounts", "/proc/self/mountinfo");
	begin("exit");
	json_add_i64(&line, "status", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	end();
	return 0;
}
