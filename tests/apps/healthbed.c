/*
 * TESTS: lib/fd.c lib/io.c lib/str.c lib/clock.c lib/sys.c lib/store.c lib/plan.c lib/board.c lib/journal.c lib/ring.c
 *
 * healthbed PROGRAM DIR N_UNITS DETAIL UID ADDRESS:PORT...
 *
 * Stands in for PID 1, the supervisor and the log around one holdfast-health: makes the store with
 * plan, board, journal, ring, eventfds and listeners, starts PROGRAM from it, and changes what is
 * on the board as lines on stdin say. Each command is answered by one line on stdout.
 *
 * Units: 0 web.service (notify, essential), 1 db.service (simple), 2 migrate.service (oneshot),
 * 3 extra.service (not wanted), 4 net.target, then fill-NNNN.service up to N_UNITS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/board.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/io.h"
#include "lib/journal.h"
#include "lib/plan.h"
#include "lib/ring.h"
#include "lib/store.h"
#include "lib/str.h"
#include "lib/sys.h"

#define UNITS_FIXED   5
#define N_PROTECTIONS 3
#define STRINGS_MAX   (1U << 20)
#define COMMAND_MAX   256

static struct store_table *table;
static struct board board;
static struct journal *journal;
static struct ring ring;
static int ask_init, ask_supervisor, answer;
static bool init_answers = true, supervisor_answers = true;
static const char *program;
static pid_t child = -1;

static void check(long result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "healthbed: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the plan */

static char strings[STRINGS_MAX];
static size_t strings_used = 1;

static plan_str put_string(const char *text)
{
	size_t at = strings_used;

	check(at + strlen(text) + 1 < STRINGS_MAX ? 0 : -1, "strings");
	memcpy(strings + at, text, strlen(text) + 1);
	strings_used += strlen(text) + 1;
	return (plan_str)at;
}

static void fill_unit(struct plan_unit *unit, uint32_t i)
{
	static const struct {
		const char *name;
		uint32_t kind, type, flags;
	} fixed[UNITS_FIXED] = {
		{"web.service", UNIT_SERVICE, SERVICE_NOTIFY, UNIT_WANTED | UNIT_ESSENTIAL},
		{"db.service", UNIT_SERVICE, SERVICE_SIMPLE, UNIT_WANTED},
		{"migrate.service", UNIT_SERVICE, SERVICE_ONESHOT, UNIT_WANTED},
		{"extra.service", UNIT_SERVICE, SERVICE_SIMPLE, 0},
		{"net.target", UNIT_TARGET, SERVICE_SIMPLE, UNIT_WANTED},
	};
	char name[64];

	if (i < UNITS_FIXED) {
		unit->name = put_string(fixed[i].name);
		unit->kind = fixed[i].kind;
		unit->type = fixed[i].type;
		unit->flags = fixed[i].flags;
		return;
	}
	(void)snprintf(name, sizeof(name), "fill-%04u@\"x\\y\".service", i);
	unit->name = put_string(name);
	unit->flags = UNIT_WANTED;
}

static void fill_protections(struct plan_protection *protections)
{
	static const struct {
		const char *name, *rung, *why;
		uint32_t level;
	} rows[N_PROTECTIONS] = {
		{"root", "verity", "", PROTECTION_FULL},
		{"secrets-memory", "/dev/shm", "no CAP_SYS_ADMIN", PROTECTION_REDUCED},
		{"cgroups", "inherited", "", PROTECTION_FULL},
	};

	for (uint32_t i = 0; i < N_PROTECTIONS; i++) {
		protections[i].name = put_string(rows[i].name);
		protections[i].rung = put_string(rows[i].rung);
		protections[i].why = put_string(rows[i].why);
		protections[i].level = rows[i].level;
	}
}

static int make_plan(uint32_t n_units, uint32_t detail, uint32_t uid, const char *directory)
{
	size_t size = 4096 + n_units * sizeof(struct plan_unit) +
		      N_PROTECTIONS * sizeof(struct plan_protection) + STRINGS_MAX;
	char *block = calloc(1, size);
	struct plan_header *header = (struct plan_header *)block;
	size_t at = (sizeof(*header) + 7) & ~(size_t)7;
	struct plan ignored;

	check(block ? 0 : -1, "memory");
	*header = (struct plan_header){
		.magic = PLAN_MAGIC,
		.version = PLAN_VERSION,
		.flags = PLAN_IS_PUBLIC,
		.boot_us = clock_now_us(),
		.boot_wall_us = clock_wall_us(),
		.health_detail = detail,
		.uid_health = uid,
		.main_unit = PLAN_NO_UNIT,
		.identity_unit = PLAN_NO_UNIT,
		.uid_log = PLAN_NO_ID,
		.uid_secrets = PLAN_NO_ID,
	};
	header->image_id = put_string("payments");
	header->image_version = put_string("2026.11-1");
	header->run_directory = put_string(directory);
	for (int section = 0; section < PLAN_SECTION_COUNT; section++) {
		uint64_t count = section == PLAN_UNITS	       ? n_units
				 : section == PLAN_PROTECTIONS ? N_PROTECTIONS
							       : 0;
		header->sections[section].offset = at;
		header->sections[section].count = count;
		if (section == PLAN_UNITS) {
			for (uint32_t i = 0; i < n_units; i++)
				fill_unit((struct plan_unit *)(block + at) + i, i);
		}
		if (section == PLAN_PROTECTIONS)
			fill_protections((struct plan_protection *)(block + at));
		at = (at + count * plan_record_sizes[section] + 7) & ~(size_t)7;
	}
	header->sections[PLAN_STRINGS].count = strings_used;
	memcpy(block + header->sections[PLAN_STRINGS].offset, strings, strings_used);
	header->size = header->sections[PLAN_STRINGS].offset + strings_used;
	errno = EBADMSG;
	check(plan_open(block, header->size, &ignored), "plan_open");
	int fd = sys_memfd_create("plan", MFD_CLOEXEC);
	check(fd, "memfd");
	check(io_write_all(fd, block, header->size), "writing the plan");
	free(block);
	return fd;
}

/* ---- the rest of the store */

static int read_only(int fd)
{
	int again = fd_reopen(fd, O_RDONLY);

	check(again, "reopening");
	return again;
}

static void make_shared(uint32_t n_units)
{
	int board_fd = sys_memfd_create("board", MFD_CLOEXEC);
	int journal_fd = sys_memfd_create("journal", MFD_CLOEXEC);

	check(board_format(board_fd, n_units, 0), "board");
	check(board_map(board_fd, true, &board), "board");
	check(journal_format(journal_fd), "journal");
	check(journal_map(journal_fd, true, &journal), "journal");
	(void)store_put(table, STORE_BOARD, 0, board_fd);
	(void)store_put(table, STORE_BOARD_PUBLIC, 0, read_only(board_fd));
	(void)store_put(table, STORE_JOURNAL, 0, journal_fd);
	(void)store_put(table, STORE_JOURNAL_READ, 0, read_only(journal_fd));

	int ring_fd = sys_memfd_create("ring", MFD_CLOEXEC);
	check(ring_fd, "ring");
	(void)store_put(table, STORE_RING, 0, ring_fd);
	(void)store_put(table, STORE_RING_PUBLIC, 0, read_only(ring_fd));
}

static void make_events(void)
{
	ask_init = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ask_supervisor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	answer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)store_put(table, STORE_EVENT_ASK_INIT, 0, ask_init);
	(void)store_put(table, STORE_EVENT_ASK_SUPERVISOR, 0, ask_supervisor);
	(void)store_put(table, STORE_EVENT_ANSWER, 0, answer);
}

static int listen_on(const char *text)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool is_v6 = text[0] == '[';
	const int one = 1, defer_s = 3;

	check(colon && (size_t)(colon - text) < sizeof(host) ? 0 : -1, text);
	(void)snprintf(host, sizeof(host), "%.*s", (int)(colon - text) - 2 * is_v6, text + is_v6);
	in_port_t port = htons((uint16_t)atoi(colon + 1));
	v4.sin_port = v6.sin6_port = port;
	if (inet_pton(is_v6 ? AF_INET6 : AF_INET, host,
		      is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr) != 1)
		check(-1, text);
	int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	check(fd, "socket");
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	check(bind(fd, is_v6 ? (void *)&v6 : (void *)&v4, is_v6 ? sizeof(v6) : sizeof(v4)), text);
	/* What is accepted inherits it: a small one shows a slow reader at once. */
	const char *send_buffer = getenv("HEALTHBED_SNDBUF");
	const int bytes = send_buffer ? atoi(send_buffer) : 0;
	if (bytes > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	check(listen(fd, 4096), "listen"); /* musl says SOMAXCONN is 128 */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer_s, sizeof(defer_s));
	return fd;
}

static void start(void)
{
	child = fork();
	check(child, "fork");
	if (child == 0) {
		store_expose(table, ROLE_HEALTH);
		(void)execl(program, program, (char *)NULL);
		_exit(127);
	}
}

static void stop(void)
{
	if (child > 0) {
		(void)kill(child, SIGKILL);
		(void)waitpid(child, NULL, 0);
	}
	child = -1;
}

/* ---- commands */

static uint32_t word_index(const char *const *words, uint32_t count, const char *word)
{
	for (uint32_t i = 0; i < count; i++) {
		if (str_equal(words[i], word))
			return i;
	}
	errno = EINVAL;
	check(-1, word);
	return 0;
}

static void on_phase(char **words)
{
	struct board_manager next = *board_peek_manager(&board);

	next.phase = word_index(board_phase_names, BOARD_PHASE_COUNT, words[1]);
	if (next.phase == BOARD_RUNNING && next.ready_us == 0)
		next.ready_us = clock_now_us();
	board_write_manager(&board, &next);
}

/* unit INDEX STATE [RESULT [FLAGS]] */
static void on_unit(char **words)
{
	uint32_t i = (uint32_t)strtoul(words[1], NULL, 10);
	struct board_unit next = *board_peek_unit(&board, i);

	next.state = word_index(unit_state_names, UNIT_STATE_COUNT, words[2]);
	next.since_wall_us = clock_wall_us();
	if (next.state == UNIT_RUNNING)
		next.started_us = next.active_us = clock_now_us();
	next.result = words[3] ? word_index(unit_result_names, RESULT_COUNT, words[3]) : 0;
	next.flags = words[3] && words[4] ? (uint32_t)strtoul(words[4], NULL, 0) : 0;
	board_write_unit(&board, i, &next);
}

/* all: every unit as it is when all is well. */
static void on_all(char **words)
{
	(void)words;
	for (uint32_t i = 0; i < board.n_units; i++) {
		char index[16];
		(void)snprintf(index, sizeof(index), "%u", i);
		char *command[] = {NULL,
				   index,
				   i == 2 ? "inactive" : "running",
				   "success",
				   i == 2 ? "0x108" : "0x1",
				   NULL};
		on_unit(command);
	}
}

static void on_restarts(char **words)
{
	uint32_t i = (uint32_t)strtoul(words[1], NULL, 10);
	struct board_unit next = *board_peek_unit(&board, i);

	next.restarts = (uint32_t)strtoul(words[2], NULL, 10);
	board_write_unit(&board, i, &next);
}

static void on_text(char **words)
{
	board_write_text(&board, (uint32_t)strtoul(words[1], NULL, 10), words[2]);
}

static void on_answer(char **words)
{
	bool *which = str_equal(words[1], "init") ? &init_answers : &supervisor_answers;

	*which = str_equal(words[2], "on");
}

static void on_deaths(char **words)
{
	atomic_fetch_add(&journal->deaths[strtoul(words[1], NULL, 10)], 1);
}

/* log N: formats the ring the first time, as log does when it starts. */
static void on_log(char **words)
{
	int fd = store_find(table, STORE_RING, 0);
	struct ring_entry entry = {.length = 5};

	if (!ring.header) {
		check(ring_format(fd, 1 << 16), "ring_format");
		check(ring_map(fd, true, &ring), "ring_map");
	}
	for (unsigned long n = strtoul(words[1], NULL, 10); n > 0; n--)
		ring_append(&ring, &entry, "hello");
}

static void on_dropped(char **words)
{
	struct ring_emission emission = ring_read_emission(&ring);

	emission.seq = atomic_load(&ring.header->last_seq);
	emission.position = atomic_load(&ring.header->head);
	emission.n_dropped = strtoul(words[1], NULL, 10);
	ring_write_emission(&ring, &emission);
}

static void on_start(char **words)
{
	(void)words;
	start();
}

static void on_stop(char **words)
{
	(void)words;
	stop();
}

static void run(char *line)
{
	static const struct {
		const char *name;
		int n_words;
		void (*run)(char **words);
	} commands[] = {
		{"phase", 2, on_phase},	      {"unit", 3, on_unit}, {"all", 1, on_all},
		{"restarts", 3, on_restarts}, {"text", 3, on_text}, {"answer", 3, on_answer},
		{"deaths", 2, on_deaths},     {"log", 2, on_log},   {"dropped", 2, on_dropped},
		{"start", 1, on_start},	      {"stop", 1, on_stop},
	};
	char *words[8] = {0}, *save = NULL;
	int n = 0;

	for (char *w = strtok_r(line, " ", &save); w && n < 7; w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
		if (n < commands[i].n_words || !str_equal(words[0], commands[i].name))
			continue;
		commands[i].run(words);
		printf("done pid %d\n", (int)child);
		return;
	}
	fprintf(stderr, "healthbed: \"%s\" is no command\n", n ? words[0] : "");
	exit(1);
}

/* ---- the loop */

static void reply(int fd, bool is_alive, _Atomic uint64_t *answers)
{
	uint64_t count, one = 1;

	if (read(fd, &count, sizeof(count)) < 0 || !is_alive)
		return;
	atomic_fetch_add(answers, 1);
	check(write(answer, &one, sizeof(one)), "answering");
}

static bool read_commands(void)
{
	static char buffer[COMMAND_MAX * 16];
	static size_t used;
	ssize_t n = read(STDIN_FILENO, buffer + used, sizeof(buffer) - used);
	char *newline;

	if (n <= 0)
		return false;
	used += (size_t)n;
	while ((newline = memchr(buffer, '\n', used))) {
		*newline = '\0';
		size_t length = (size_t)(newline - buffer) + 1;
		run(buffer);
		used -= length;
		memmove(buffer, newline + 1, used);
	}
	return true;
}

int main(int argc, char **argv)
{
	static const char *const details[] = {"loopback", "all", "none"};

	if (argc < 7) {
		fprintf(stderr,
			"usage: healthbed PROGRAM DIR N_UNITS DETAIL UID ADDRESS:PORT...\n");
		return 64;
	}
	program = argv[1];
	uint32_t n_units = MAX((uint32_t)UNITS_FIXED, (uint32_t)strtoul(argv[3], NULL, 10));
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	check(store_create(64, &table), "store");
	(void)store_put(table, STORE_PLAN_PUBLIC, 0,
			make_plan(n_units, word_index(details, 3, argv[4]),
				  (uint32_t)strtoul(argv[5], NULL, 10), argv[2]));
	make_shared(n_units);
	make_events();
	for (int i = 6; i < argc; i++)
		(void)store_put(table, STORE_LISTEN, (uint32_t)(i - 6), listen_on(argv[i]));
	printf("bed ready\n");

	struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			       {.fd = ask_init, .events = POLLIN},
			       {.fd = ask_supervisor, .events = POLLIN}};
	for (;;) {
		check(poll(fds, ARRAY_COUNT(fds), -1), "poll");
		if (fds[1].revents)
			reply(ask_init, init_answers, &journal->answers);
		if (fds[2].revents)
			reply(ask_supervisor, supervisor_answers, &board.header->answers);
		if (fds[0].revents && !read_commands())
			break;
	}
	stop();
	return 0;
}
