/*
 * TESTS: lib/fd.c lib/io.c lib/str.c lib/clock.c lib/sys.c lib/store.c lib/plan.c lib/board.c lib/journal.c lib/proto.c
 *
 * Stands in for every program that PID 1 starts. Copied beside holdfast under their names, it
 * connects to the socket "puppets" in its own folder, says "hello NAME BLOCKED ARGUMENT...", and then does
 * what each message tells it, answering each with one message. Its role is its own file's name.
 *
 *   world UNITS LISTEN      boot: greet, make plan, board, ring and capture, put them
 *   packet TYPE KIND INDEX VALUE FD [TEXT]   send one packet, with an fd when FD is 1
 *   junk SIZE               send that many bytes that are no packet
 *   spawn FIRST COUNT HOW   supervisor: fill COUNT slots from number FIRST on (unit * 4 + slot)
 *   orphans COUNT HOW       make that many processes whose parent is gone
 *   apply MAX               supervisor: apply the journal, empty the slots, say each entry
 *   phase PHASE STATUS UNIT CAUSE   supervisor: onto the board, and tell PID 1
 *   ask                     health: is PID 1 alive? Answers with the journal's count
 *   read STREAM             log: what stands in that pipe
 *   write FD TEXT           as it is
 *   fds                     the store's kinds that this process could use
 *   inherited               the store's record of what PID 1 was given
 *   ignore SIGNAL           from now on
 *   exit STATUS
 *
 * HOW a process lives: "exit" at once with its number modulo 100, "gate" the same once the FIFO
 * "gate" was opened for writing, "stay" until a signal ends it, "stubborn" and ignores TERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/board.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/journal.h"
#include "lib/plan.h"
#include "lib/proto.h"
#include "lib/store.h"
#include "lib/str.h"
#include "lib/sys.h"

#define WORDS_MAX 16
#define BROKEN	  111

struct clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static const struct store_table *store;
static struct board board;
static struct journal *journal;
static enum role role;
static char folder[256];
static char answer_data[1 << 17];
static struct strbuf answer;

static void check(int r, const char *what)
{
	if (r >= 0)
		return;
	(void)dprintf(2, "puppet: %s: %s\n", what, strerror(errno));
	_exit(BROKEN);
}

static uint64_t number(char **words, int i)
{
	return words[i] ? strtoull(words[i], NULL, 10) : 0;
}

/* ---- boot */

static void send_packet(uint32_t type, uint32_t kind, uint32_t index, uint64_t value, int fd,
			const char *text)
{
	struct proto_packet packet = {.type = type, .kind = kind, .index = index, .value = value};
	int channel = store_find(store, STORE_CHANNEL, 0), r;

	(void)str_copy(packet.text, sizeof(packet.text), text ? text : "");
	while ((r = proto_send(channel, &packet, fd)) == -EAGAIN) {
		struct pollfd wait = {.fd = channel, .events = POLLOUT};
		check(poll(&wait, 1, -1), "poll");
	}
	strbuf_addf(&answer, "%d", r);
}

static int make_plan(uint32_t n_units, uint32_t n_listen)
{
	size_t units = (sizeof(struct plan_header) + 7) & ~(size_t)7;
	size_t strings = units + n_units * sizeof(struct plan_unit);
	size_t size = ((strings + 7) & ~(size_t)7) + 8;
	char *block = calloc(1, size);
	struct plan_header *header = (struct plan_header *)block;
	struct plan_unit *unit = (struct plan_unit *)(block + units);

	*header = (struct plan_header){
		.magic = PLAN_MAGIC,
		.version = PLAN_VERSION,
		.size = size,
		.n_listen = n_listen,
		.main_unit = PLAN_NO_UNIT,
		.identity_unit = PLAN_NO_UNIT,
		.uid_log = PLAN_NO_ID,
		.uid_health = PLAN_NO_ID,
		.uid_secrets = PLAN_NO_ID,
	};
	for (int i = 0; i < PLAN_SECTION_COUNT; i++)
		header->sections[i].offset = (strings + 7) & ~(size_t)7;
	header->sections[PLAN_UNITS].offset = units;
	header->sections[PLAN_UNITS].count = n_units;
	header->sections[PLAN_STRINGS].count = 1;
	for (uint32_t i = 0; i < n_units; i++)
		unit[i].uid = unit[i].gid = PLAN_NO_ID;
	int fd = sys_memfd_create("plan", MFD_CLOEXEC);
	check(fd, "memfd");
	check(io_write_all(fd, block, size), "plan");
	free(block);
	return fd;
}

static void put(enum store_kind kind, int fd)
{
	check(fd, "put");
	send_packet(PROTO_PUT, kind, 0, 0, fd, NULL);
	(void)close(fd);
}

static void do_world(char **words)
{
	uint32_t n_units = (uint32_t)number(words, 1);
	int board_fd = sys_memfd_create("board", MFD_CLOEXEC);

	send_packet(PROTO_HELLO, 0, 0, PROTO_VERSION, -1, NULL);
	put(STORE_PLAN, make_plan(n_units, (uint32_t)number(words, 2)));
	put(STORE_PLAN_PUBLIC, make_plan(n_units, (uint32_t)number(words, 2)));
	check(board_format(board_fd, n_units, 0), "board");
	put(STORE_BOARD_PUBLIC, fd_reopen(board_fd, O_RDONLY));
	put(STORE_BOARD, board_fd);
	put(STORE_GATE, sys_memfd_create("gate", MFD_CLOEXEC));
	put(STORE_RING, sys_memfd_create("ring", MFD_CLOEXEC));
	put(STORE_CAPTURE, sys_memfd_create("capture", MFD_CLOEXEC));
}

static void do_packet(char **words)
{
	int fd = number(words, 5) ? sys_memfd_create("thing", MFD_CLOEXEC) : -1;

	send_packet((uint32_t)number(words, 1), (uint32_t)number(words, 2),
		    (uint32_t)number(words, 3), number(words, 4), fd, words[6]);
	if (fd >= 0)
		(void)close(fd);
}

static void do_junk(char **words)
{
	static char junk[8192];
	ssize_t n = send(store_find(store, STORE_CHANNEL, 0), junk, number(words, 1), MSG_NOSIGNAL);

	strbuf_addf(&answer, "%zd", n);
}

/* ---- processes */

static _Noreturn void live(const char *how, uint32_t id)
{
	char gate[280];

	(void)fd_close_from(3);
	if (str_equal(how, "stubborn"))
		(void)signal(SIGTERM, SIG_IGN);
	if (str_equal(how, "stay") || str_equal(how, "stubborn")) {
		for (;;)
			(void)pause();
	}
	if (str_equal(how, "gate")) {
		(void)snprintf(gate, sizeof(gate), "%s/gate", folder);
		check(open(gate, O_RDONLY), "gate");
	}
	_exit((int)(id % 100));
}

static void do_spawn(char **words)
{
	uint32_t first = (uint32_t)number(words, 1), count = (uint32_t)number(words, 2);

	for (uint32_t id = first; id < first + count; id++) {
		_Atomic int32_t *slot = &board.slots[id / SLOT_COUNT][id % SLOT_COUNT];
		struct clone_args args = {
			.flags = CLONE_PARENT | CLONE_PARENT_SETTID,
			.parent_tid = (uint64_t)(uintptr_t)slot,
		};
		long pid = syscall(435, &args, sizeof(args)); /* clone3 */
		if (pid == 0)
			live(words[3], id);
		check((int)pid, "clone3");
		strbuf_addf(&answer, "%s%ld", id == first ? "" : " ", pid);
	}
}

static void do_orphans(char **words)
{
	for (uint32_t i = 0; i < number(words, 1); i++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (fork() == 0)
				live(words[2], i);
			_exit(0);
		}
		check(pid, "fork");
		check(waitpid(pid, NULL, 0), "waitpid");
	}
	strbuf_adds(&answer, "ok");
}

/* ---- supervisor, health, log */

static void do_apply(char **words)
{
	struct board_manager next = *board_peek_manager(&board);
	struct journal_entry e;
	uint64_t left = number(words, 1);

	while (left-- > 0 && journal_read(journal, next.cursor + 1, &e)) {
		next.cursor++;
		if (e.kind == JOURNAL_EXIT)
			board.slots[e.unit][e.slot] = 0;
		strbuf_addf(&answer, "%u,%d,%d,%d,%d ", e.kind, e.pid,
			    (int)e.unit * SLOT_COUNT + (int)e.slot, e.code, e.status);
	}
	board_write_manager(&board, &next);
}

static void do_phase(char **words)
{
	struct board_manager next = *board_peek_manager(&board);

	next.phase = (uint32_t)number(words, 1);
	next.exit_status = (uint32_t)number(words, 2);
	next.cause_unit = words[3] ? (uint32_t)number(words, 3) : PLAN_NO_UNIT;
	next.cause = (uint32_t)number(words, 4);
	board_write_manager(&board, &next);
	(void)eventfd_write(store_find(store, STORE_EVENT_PHASE, 0), 1);
	strbuf_adds(&answer, "ok");
}

static void do_ask(char **words)
{
	struct pollfd wait = {.fd = store_find(store, STORE_EVENT_ANSWER, 0), .events = POLLIN};
	eventfd_t count;

	(void)words;
	check(eventfd_write(store_find(store, STORE_EVENT_ASK_INIT, 0), 1), "ask");
	check(poll(&wait, 1, 10000) == 1 ? 0 : -1, "answer");
	check(eventfd_read(wait.fd, &count), "answer");
	strbuf_addf(&answer, "%llu", (unsigned long long)journal->answers);
}

static void do_read(char **words)
{
	static char data[65536];
	ssize_t n = read(store_find(store, STORE_PIPE_READ, (uint32_t)number(words, 1)), data,
			 sizeof(data));

	strbuf_add(&answer, data, n > 0 ? (size_t)n : 0);
}

static void do_write(char **words)
{
	strbuf_addf(&answer, "%d", io_write_all((int)number(words, 1), words[2], strlen(words[2])));
}

static void do_fds(char **words)
{
	(void)words;
	for (uint32_t kind = 1; kind < STORE_KIND_COUNT; kind++) {
		uint32_t cursor = 0;
		const struct store_entry *e;
		while ((e = store_next(store, kind, &cursor))) {
			if (fcntl(e->fd, F_GETFD) >= 0)
				strbuf_addf(&answer, "%u:%u ", kind, e->index);
		}
	}
}

static void do_inherited(char **words)
{
	const struct store_inherited *was = &store->inherited;

	(void)words;
	strbuf_addf(&answer, "%llx %llx %llu %llu", (unsigned long long)was->mask,
		    (unsigned long long)was->ignored, (unsigned long long)was->nofile_soft,
		    (unsigned long long)was->nofile_hard);
}

static void do_ignore(char **words)
{
	check(signal((int)number(words, 1), SIG_IGN) == SIG_ERR ? -1 : 0, "signal");
	strbuf_adds(&answer, "ok");
}

static void do_exit(char **words)
{
	_exit((int)number(words, 1));
}

static const struct {
	const char *name;
	void (*run)(char **words);
} commands[] = {
	{"world", do_world},	 {"packet", do_packet},
	{"junk", do_junk},	 {"spawn", do_spawn},
	{"orphans", do_orphans}, {"apply", do_apply},
	{"phase", do_phase},	 {"ask", do_ask},
	{"read", do_read},	 {"write", do_write},
	{"fds", do_fds},	 {"ignore", do_ignore},
	{"exit", do_exit},	 {"inherited", do_inherited},
};

/* ---- the strings */

static void find_self(void)
{
	ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

	check((int)n, "/proc/self/exe");
	folder[n] = '\0';
	char *end = strstr(folder, " (deleted)");
	if (end)
		*end = '\0';
	char *name = strrchr(folder, '/');
	*name++ = '\0';
	for (role = ROLE_BOOT; role < ROLE_COUNT && !str_equal(name, role_programs[role]);)
		role++;
	check(role < ROLE_COUNT ? 0 : -1, name);
}

static void map_shared(void)
{
	int board_fd = store_find(store, STORE_BOARD, 0);
	int journal_fd = store_find(store, STORE_JOURNAL_READ, 0);

	if (role == ROLE_SUPERVISOR) {
		check(board_map(board_fd, true, &board), "board");
		send_packet(PROTO_HELLO, 0, 0, PROTO_VERSION, -1, NULL);
	}
	if (role == ROLE_SUPERVISOR || role == ROLE_HEALTH)
		check(journal_map(journal_fd, false, &journal), "journal");
}

static int connect_strings(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%.90s/puppets", folder);
	check(connect(fd, (struct sockaddr *)&address, sizeof(address)), address.sun_path);
	return fd;
}

static void obey(char *line)
{
	char *words[WORDS_MAX + 1] = {NULL}, *rest = NULL;

	for (int i = 0; i < WORDS_MAX && (words[i] = strtok_r(i ? NULL : line, " ", &rest)); i++)
		;
	for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
		if (words[0] && str_equal(words[0], commands[i].name)) {
			commands[i].run(words);
			return;
		}
	}
	strbuf_adds(&answer, "unknown");
}

int main(int argc, char **argv)
{
	static char line[8192];

	find_self();
	uint64_t blocked, none = 0;
	check((int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &blocked, sizeof(none)), "mask");
	check(store_attach(role, &store), "store");
	strbuf_init(&answer, answer_data, sizeof(answer_data));
	map_shared();
	int strings = connect_strings();
	strbuf_reset(&answer);
	strbuf_addf(&answer, "hello %s %llx", role_programs[role], (unsigned long long)blocked);
	for (int i = 0; i < argc; i++)
		strbuf_addf(&answer, " %s", argv[i]);
	for (;;) {
		check((int)send(strings, answer.data, answer.length, MSG_NOSIGNAL), "answer");
		/* Only now: what waits may end us. */
		(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
		ssize_t n = recv(strings, line, sizeof(line) - 1, 0);
		if (n <= 0)
			(void)pause(); /* the test lets go of the strings: live on */
		line[n > 0 ? n : 0] = '\0';
		strbuf_reset(&answer);
		obey(line);
		if (answer.length == 0)
			strbuf_addc(&answer, '-');
	}
}
