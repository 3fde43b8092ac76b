/*
 * TESTS: tests/support/ctlsample.c tests/support/planbuild.c lib/plan.c lib/board.c lib/ring.c lib/clock.c lib/str.c lib/io.c lib/fd.c lib/sys.c
 *
 * ctlbed DIR
 *
 * The public files of an instance without the instance: makes plan, board and ring in DIR and
 * changes them as lines on stdin say. Each is answered by one line on stdout.
 *
 *	unit INDEX STATE RESULT FLAGS EXIT_CODE EXIT_STATUS EXEC_ERROR RESTARTS PID
 *	text INDEX WORDS
 *	phase PHASE
 *	cause INDEX RESULT STATUS
 *	line FLAGS UNIT STREAM AGE_US TEXT	a record of the ring
 *	flip		changes unit 0 and the ring as fast as it can until the next line comes
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/board.h"
#include "lib/clock.h"
#include "lib/io.h"
#include "lib/ring.h"
#include "lib/str.h"
#include "tests/support/ctlsample.h"

static struct board board;
static struct ring ring;

static void check(int r, const char *what)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "ctlbed: %s: %s\n", what, strerror(-r));
	exit(1);
}

static int create(const char *dir, const char *name)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	check(fd < 0 ? -1 : 0, path);
	return fd;
}

static void set_unit(const char *arguments)
{
	unsigned index, state, result, flags, restarts;
	int code, status, exec_error, pid;

	if (sscanf(arguments, "%u %u %u %u %d %d %d %u %d", &index, &state, &result, &flags, &code,
		   &status, &exec_error, &restarts, &pid) != 9)
		check(-22, arguments);
	struct board_unit unit = board_read_unit(&board, index);
	unit.state = state;
	unit.result = result;
	unit.flags = flags;
	unit.exit_code = code;
	unit.exit_status = status;
	unit.exec_error = exec_error;
	unit.restarts = restarts;
	unit.since_us = clock_now_us();
	unit.since_wall_us = clock_wall_us();
	board_write_unit(&board, index, &unit);
	board.slots[index][SLOT_MAIN] = pid;
}

static void set_text(const char *arguments)
{
	board_write_text(&board, (uint32_t)atoi(arguments), strchr(arguments, ' ') + 1);
}

static void set_phase(const char *arguments)
{
	struct board_manager manager = board_read_manager(&board);

	manager.phase = (uint32_t)atoi(arguments);
	manager.ready_us = manager.phase >= BOARD_RUNNING;
	board_write_manager(&board, &manager);
}

static void set_cause(const char *arguments)
{
	struct board_manager manager = board_read_manager(&board);

	if (sscanf(arguments, "%u %u %u", &manager.cause_unit, &manager.cause,
		   &manager.exit_status) != 3)
		check(-22, arguments);
	board_write_manager(&board, &manager);
}

static void add_line(const char *arguments)
{
	struct ring_entry entry = {0};
	uint64_t age;
	int at;

	if (sscanf(arguments, "%u %u %u %" SCNu64 " %n", &entry.flags, &entry.unit, &entry.stream,
		   &age, &at) != 4)
		check(-22, arguments);
	entry.wall_us = clock_wall_us() - age;
	entry.length = (uint32_t)strlen(arguments + at);
	ring_append(&ring, &entry, arguments + at);
}

/* Every state that it publishes has restarts == exit_status == since_wall_us / 1 s; every line says
 * its own seq, so that a reader can tell a torn one. */
static void flip(const char *arguments)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	struct board_unit unit = board_read_unit(&board, SAMPLE_DB);
	uint32_t n = 0;

	(void)arguments;
	unit.exit_code = 1;
	unit.flags |= BOARD_UNIT_MAIN_EXITED;
	do {
		for (int i = 0; i < 64; i++) {
			char text[256];
			struct ring_entry entry = {.wall_us = clock_wall_us()};
			n = n % 1000000 + 1;
			unit.restarts = n;
			unit.exit_status = (int32_t)n;
			unit.since_wall_us = n * USEC_PER_SEC;
			board_write_unit(&board, SAMPLE_DB, &unit);
			entry.length = (uint32_t)snprintf(text, sizeof(text), "<%" PRIu64 ">%0*d",
							  ring.header->last_seq + 1,
							  (int)(n % 200) + 1, 0);
			ring_append(&ring, &entry, text);
		}
	} while (poll(&input, 1, 0) == 0);
}

static const struct {
	const char *name;
	void (*run)(const char *arguments);
} commands[] = {
	{"unit ", set_unit},   {"text ", set_text}, {"phase ", set_phase},
	{"cause ", set_cause}, {"line ", add_line}, {"flip", flip},
};

static void obey(const char *line)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!str_starts(line, commands[i].name))
			continue;
		commands[i].run(line + strlen(commands[i].name));
		(void)puts("ok");
		(void)fflush(stdout);
		return;
	}
	check(-22, line);
}

int main(int argc, char **argv)
{
	static char line[65536];
	void *block;
	size_t size;

	if (argc != 2)
		return 64;
	ctlsample_plan(&block, &size);
	check(io_write_all(create(argv[1], "plan"), block, size), "plan");
	int fd = create(argv[1], "board");
	check(board_format(fd, SAMPLE_COUNT, SAMPLE_SECRETS), "board");
	check(board_map(fd, true, &board), "board");
	fd = create(argv[1], "ring");
	check(ring_format(fd, 65536), "ring");
	check(ring_map(fd, true, &ring), "ring");
	(void)puts("ok");
	(void)fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		obey(line);
	}
	return 0;
}
